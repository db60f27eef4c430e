"""Live views are written only for rollouts that a page watches."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import F
from django.utils import timezone

from rlm_runs.execution.live_views import LiveViews
from rlm_runs.models import LiveView, Rollout


@pytest.fixture
def rollout(rollout):
    Rollout.objects.filter(pk=rollout.pk).update(status="running", attempt=1)
    rollout.refresh_from_db()
    return rollout


@pytest.fixture
def views(rollout):
    return LiveViews()


def test_a_rollout_is_written_while_somebody_watches(views, rollout):
    with views.shown(rollout) as board, board.turn("root", 0) as turn:
        assert views.write() == 0
        assert LiveView.objects.watch(rollout) == {}
        turn.add(content="so\x00 far \ud800")
        assert views.write() == 1
        state = LiveView.objects.watch(rollout)
        assert state["turn"]["content"] == {"chars": 9, "end": "so\x1a0000 far \x1ad800"}
        LiveView.objects.update(watched_until=timezone.now() - timedelta(seconds=1))
        assert views.write() == 0


def test_the_view_goes_with_the_rollout(views, rollout):
    with views.shown(rollout):
        LiveView.objects.watch(rollout)
        views.write()
    assert LiveView.objects.exists()
    views.write()
    assert not LiveView.objects.exists()


def test_what_another_attempt_or_a_dead_worker_left_is_not_shown(views, rollout):
    with views.shown(rollout) as board, board.turn("root", 0):
        LiveView.objects.watch(rollout)
        views.write()
    assert LiveView.objects.watch(rollout)
    Rollout.objects.filter(pk=rollout.pk).update(attempt=F("attempt") + 1)
    rollout.refresh_from_db()
    assert LiveView.objects.watch(rollout) == {}
    LiveView.objects.update(attempt=rollout.attempt, written_at=timezone.now() - timedelta(seconds=30))
    assert LiveView.objects.watch(rollout) == {}


def test_only_running_rollouts_are_watched(rollout):
    Rollout.objects.filter(pk=rollout.pk).update(status="queued")
    rollout.refresh_from_db()
    assert LiveView.objects.watch(rollout) == {}
    assert not LiveView.objects.exists()


def test_watching_writes_every_few_seconds_only(rollout, django_assert_num_queries):
    LiveView.objects.watch(rollout)
    first = LiveView.objects.get().watched_until
    LiveView.objects.watch(rollout)
    assert LiveView.objects.get().watched_until == first
    with django_assert_num_queries(4):  # a savepoint, the note, its end, the state
        LiveView.objects.watch(rollout)


def test_what_is_no_longer_watched_is_removed(rollout):
    LiveView.objects.watch(rollout)
    assert not LiveView.objects.forgotten().exists()
    LiveView.objects.update(watched_until=timezone.now() - timedelta(minutes=2))
    LiveView.objects.forgotten().delete()
    assert not LiveView.objects.exists()


@pytest.mark.django_db
def test_the_table_is_not_logged():
    with connection.cursor() as cursor:
        cursor.execute("SELECT relpersistence FROM pg_class WHERE relname = 'rlm_runs_liveview'")
        assert cursor.fetchone()[0] == "u"
