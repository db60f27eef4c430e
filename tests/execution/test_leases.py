"""A rollout has one worker at a time, and none is lost."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from django.utils import timezone
from kombu.exceptions import OperationalError

from rlm_runs.execution import leases
from rlm_runs.models import Experiment, Rollout

Status = Rollout.Status


@pytest.fixture
def sent(monkeypatch):
    """The ids for which a message was sent."""
    ids = []
    monkeypatch.setattr(leases.current_app, "send_task", lambda _, args: ids.extend(args))
    return ids


def long_ago():
    return timezone.now() - timedelta(hours=2)


def test_only_one_of_two_messages_gets_the_rollout(make_rollout):
    rollout = make_rollout(status=Status.QUEUED, attempt=0)
    mine = leases.claim(rollout.pk)
    assert mine is not None
    assert (mine.attempt, mine.status, mine.worker) == (1, Status.RUNNING, leases.worker_name())
    assert leases.claim(rollout.pk) is None


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED, Status.CANCELLED])
def test_what_has_ended_is_not_claimed(make_rollout, status):
    assert leases.claim(make_rollout(status=status, stop_reason="x").pk) is None
    assert leases.claim(10**9) is None


def test_the_sweep_requeues_what_a_dead_worker_left(make_rollout, sent):
    dead = make_rollout(lease_expires_at=long_ago())
    alive = make_rollout(lease_expires_at=timezone.now() + timedelta(seconds=20))
    leases.sweep()
    dead.refresh_from_db()
    alive.refresh_from_db()
    assert (dead.status, alive.status) == (Status.QUEUED, Status.RUNNING)
    assert sent == [dead.pk]
    assert leases.claim(dead.pk).attempt == 2


def test_a_lost_message_is_sent_again_after_ever_longer_waits(make_rollout, sent):
    rollout = make_rollout(status=Status.QUEUED, attempt=0, requeue_at=long_ago())
    waits = []
    for _ in range(3):
        leases.sweep()
        leases.sweep()  # the second finds nothing to do
        rollout.refresh_from_db()
        waits.append((rollout.requeue_at - timezone.now()).total_seconds())
        Rollout.objects.update(requeue_at=long_ago())
    assert sent == [rollout.pk] * 3
    assert waits == pytest.approx([60, 120, 240], abs=30)


def test_a_broker_that_is_down_loses_nothing(make_rollout, monkeypatch):
    rollout = make_rollout(status=Status.QUEUED, attempt=0)

    def fail(*_):
        raise OperationalError("no broker")

    monkeypatch.setattr(leases.current_app, "send_task", fail)
    leases.enqueue([rollout.pk])
    rollout.refresh_from_db()
    assert rollout.status == Status.QUEUED
    assert rollout.requeue_at is not None


def test_a_rollout_that_kills_its_workers_is_given_up(make_rollout, sent):
    rollout = make_rollout(attempt=10, lease_expires_at=long_ago())
    leases.sweep()
    rollout.refresh_from_db()
    assert (rollout.status, rollout.stop_reason, rollout.error_boundary) == (
        Status.FAILED,
        "worker_lost",
        "worker",
    )
    assert sent == []


def test_cancelling_ends_the_queue_at_once_and_marks_the_rest(make_rollout, experiment, sent):
    queued = make_rollout(status=Status.QUEUED, attempt=0)
    running = make_rollout(lease_expires_at=long_ago())
    done = make_rollout(status=Status.COMPLETED, stop_reason="answer_ready", reward=1.0)
    leases.cancel_experiment(experiment)
    leases.sweep()  # the running one's worker is dead: the sweep ends it, and does not queue it again
    for rollout in (queued, running, done):
        rollout.refresh_from_db()
    assert [queued.status, running.status, done.status] == [Status.CANCELLED, Status.CANCELLED, Status.COMPLETED]
    assert sent == []


@pytest.mark.django_db(transaction=True)
class TestLease:
    """The lease renews itself in a thread with a connection of its own."""

    def test_it_is_renewed_while_the_body_runs(self, make_rollout, settings):
        settings.RLM_LEASE_SECONDS = 3
        rollout = make_rollout(lease_expires_at=long_ago())
        with leases.Lease(rollout) as control:
            assert _until(lambda: _fresh(rollout).lease_expires_at > timezone.now())
            assert control.reason == ""

    def test_cancelling_stops_the_body(self, make_rollout, settings):
        settings.RLM_LEASE_SECONDS = 3
        rollout = make_rollout()
        with leases.Lease(rollout) as control:
            Experiment.objects.update(cancelled_at=timezone.now())
            assert _until(lambda: control.reason == "cancelled")

    def test_a_takeover_stops_the_body(self, make_rollout, settings):
        settings.RLM_LEASE_SECONDS = 3
        rollout = make_rollout()
        with leases.Lease(rollout) as control:
            Rollout.objects.update(attempt=2)
            assert _until(lambda: control.reason == "interrupted")

    def test_a_worker_that_shuts_down_interrupts_all_it_has(self, make_rollout):
        with leases.Lease(make_rollout()) as control:
            leases.interrupt_all()
            assert control.reason == "interrupted"


def _fresh(rollout):
    return Rollout.objects.get(pk=rollout.pk)


def _until(holds, *, seconds=15):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if holds():
            return True
        time.sleep(0.05)
    return False
