"""A reader who is logged in, and the experiment with something of everything."""

import pytest
from django.contrib.auth.models import User

from rlm_runs.analysis import aggregates

from ..factories.traces import make_experiment, play_all


@pytest.fixture(autouse=True)
def _fresh_snapshots():
    """Tests change rows in ways that no running program does."""
    aggregates.forget()


@pytest.fixture
def ada(db):
    return User.objects.create(username="ada")


@pytest.fixture
def reader(client, ada):
    client.force_login(ada)
    return client


@pytest.fixture
def queued(db):
    """One environment, three scaffolds, three examples, nothing done yet."""
    return make_experiment()


@pytest.fixture
def played(queued):
    """The same with every kind of rollout that there is."""
    play_all(queued)
    return queued
