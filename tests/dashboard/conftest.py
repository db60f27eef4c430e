"""A logged-in reader, and an experiment with every kind of rollout."""

import pytest
from django.contrib.auth.models import User

from tests.factories.fixtures import fresh_snapshots, played, queued  # noqa: F401


@pytest.fixture
def ada(db):
    return User.objects.create(username="ada")


@pytest.fixture
def reader(client, ada):
    client.force_login(ada)
    return client
