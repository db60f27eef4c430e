"""Indexes that leases and lists rely on, and the planner's settings."""

import pytest
from django.db import connection

pytestmark = pytest.mark.django_db


def _asked(statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return [row[0] for row in cursor.fetchall()]


def test_renewing_a_lease_changes_no_index():
    """The lease is in no index, or each renewal would write to all of them."""
    indexes = _asked("SELECT indexdef FROM pg_indexes WHERE tablename = 'rlm_runs_rollout'")
    assert len(indexes) > 20
    assert not [found for found in indexes if "lease_expires_at" in found]


def test_connections_tell_the_planner():
    assert _asked("SHOW random_page_cost") == ["1.1"]
    assert _asked("SHOW jit") == ["off"]
