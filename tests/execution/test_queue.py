"""The table is the queue: the best rows are claimed once, and rollouts of dead workers come back."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone
from kombu.exceptions import OperationalError

from rlm_runs.execution import lost_workers, queue
from rlm_runs.execution.sweep import Sweeper
from rlm_runs.models import Arm, Experiment, Rollout

Status = Rollout.Status


def long_ago():
    return timezone.now() - timedelta(hours=2)


def queued(name, *, arms=1, **columns):
    """An experiment with arms and no rollouts yet."""
    experiment = Experiment.objects.create(slug=name, name=name, spec={}, seed=1, **columns)
    for position in range(arms):
        Arm.objects.create(
            experiment=experiment,
            position=position,
            environment="oolong",
            scaffold="rlm",
            model=f"m{position}",
            sub_model="m",
            endpoint="demo",
            settings_hash=f"{position:064x}",
        )
    return experiment


@pytest.fixture
def add_rollouts(make_rollout):
    """Queued rollouts of an experiment, by example and then arm as `launch` writes them."""

    def add(experiment, *, examples=4):
        example = make_rollout(status=Status.COMPLETED, stop_reason="x").example
        rows = []
        for position in range(examples):
            for arm in experiment.arms.all():
                rows.append(
                    Rollout(
                        arm=arm,
                        example=example,
                        example_position=position,
                        repetition=position,
                        status=Status.QUEUED,
                    )
                )
        return Rollout.objects.bulk_create(rows)

    return add


def test_a_claimed_rollout_runs_under_a_lease_of_this_process(make_rollout):
    make_rollout(status=Status.QUEUED, attempt=0)
    (mine,) = queue.claim(5)
    assert (mine.attempt, mine.status, mine.worker) == (1, Status.RUNNING, f"{socket.gethostname()}:{os.getpid()}")
    assert mine.lease_expires_at > timezone.now()
    assert queue.claim(5) == []


@pytest.mark.parametrize("status", [Status.RUNNING, Status.COMPLETED, Status.FAILED, Status.CANCELLED])
def test_only_queued_rollouts_are_claimed(make_rollout, status):
    make_rollout(status=status, stop_reason="x")
    assert queue.claim(5) == []


def test_arms_stay_level(add_rollouts):
    experiment = queued("e1", arms=3)
    add_rollouts(experiment, examples=4)
    claimed = queue.claim(6)
    assert Counter(rollout.arm_id for rollout in claimed) == {arm.pk: 2 for arm in experiment.arms.all()}


def test_experiments_share_the_slots_whatever_their_size(add_rollouts):
    large, small = queued("large"), queued("small")
    add_rollouts(large, examples=40)
    add_rollouts(small, examples=4)
    assert Counter(rollout.experiment_id for rollout in queue.claim(6)) == {large.pk: 3, small.pk: 3}
    assert Counter(rollout.experiment_id for rollout in queue.claim(6)) == {large.pk: 5, small.pk: 1}


def test_a_late_experiment_catches_up(add_rollouts):
    early, late = queued("early"), queued("late")
    add_rollouts(early, examples=20)
    queue.claim(4)
    add_rollouts(late, examples=20)
    assert Counter(rollout.experiment_id for rollout in queue.claim(4)) == {late.pk: 4}


def test_higher_priority_goes_first(add_rollouts):
    low, high = queued("low"), queued("high", priority=5)
    add_rollouts(low)
    add_rollouts(high, examples=2)
    assert [rollout.experiment_id for rollout in queue.claim(3)] == [high.pk, high.pk, low.pk]


@pytest.mark.parametrize("column", ["paused_at", "cancelled_at"])
def test_paused_and_cancelled_experiments_are_left_alone(add_rollouts, column):
    experiment = queued("e1", **{column: long_ago()})
    add_rollouts(experiment)
    assert queue.claim(5) == []


@pytest.mark.django_db(transaction=True)
def test_two_workers_never_claim_the_same_rollout(make_rollout):
    for _ in range(40):
        make_rollout(status=Status.QUEUED, attempt=0)

    def claim(_):
        try:
            return [rollout.pk for rollout in queue.claim(3)]
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        claimed = [pk for part in pool.map(claim, range(14)) for pk in part]
    assert len(claimed) == len(set(claimed))
    assert len(claimed) >= 36


def test_a_rollout_whose_lease_expired_is_queued_again(make_rollout):
    dead = make_rollout(lease_expires_at=long_ago())
    alive = make_rollout(lease_expires_at=timezone.now() + timedelta(seconds=20))
    assert Sweeper().sweep() == 1
    dead.refresh_from_db()
    alive.refresh_from_db()
    assert (dead.status, alive.status) == (Status.QUEUED, Status.RUNNING)
    (again,) = queue.claim(5)
    assert (again.pk, again.attempt) == (dead.pk, 2)


def test_a_rollout_of_a_dead_process_of_this_machine_does_not_wait_for_its_lease(make_rollout):
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    soon = timezone.now() + timedelta(hours=1)
    dead = make_rollout(lease_expires_at=soon, worker=f"{socket.gethostname()}:{process.pid}")
    mine = make_rollout(lease_expires_at=soon, worker=f"{socket.gethostname()}:{os.getpid()}")
    elsewhere = make_rollout(lease_expires_at=soon, worker=f"another-host:{process.pid}")
    assert lost_workers.reap() == 1
    for rollout in (dead, mine, elsewhere):
        rollout.refresh_from_db()
    assert [dead.status, mine.status, elsewhere.status] == [Status.QUEUED, Status.RUNNING, Status.RUNNING]


def test_the_first_sweep_after_a_long_gap_leaves_time_to_renew(make_rollout, settings):
    make_rollout(lease_expires_at=long_ago())
    sweeper = Sweeper()
    sweeper._last -= settings.RLM_LEASE_SECONDS + 1
    assert sweeper.sweep() == 0
    assert sweeper.sweep() == 1


def test_a_broker_that_is_down_loses_nothing(make_rollout, monkeypatch):
    make_rollout(status=Status.QUEUED, attempt=0)

    def fail(*_, **__):
        raise OperationalError("no broker")

    monkeypatch.setattr(queue.current_app, "send_task", fail)
    queue.notify_workers()
    assert len(queue.claim(5)) == 1


def test_a_rollout_that_kills_its_workers_is_given_up(make_rollout):
    rollout = make_rollout(attempt=10, lease_expires_at=long_ago())
    lost_workers.reap()
    rollout.refresh_from_db()
    assert (rollout.status, rollout.stop_reason, rollout.error_boundary) == (
        Status.FAILED,
        "worker_lost",
        "worker",
    )


def test_a_claim_whose_answer_was_lost_is_released(make_rollout):
    running = make_rollout(status=Status.QUEUED, attempt=0)
    lost = make_rollout(status=Status.QUEUED, attempt=1)
    elsewhere = make_rollout(worker="another-host:1")
    queue.claim(5)
    assert queue.release([running.pk]) == 1
    for rollout in (running, lost, elsewhere):
        rollout.refresh_from_db()
    assert (running.status, running.attempt) == (Status.RUNNING, 1)
    assert (lost.status, lost.attempt, lost.worker) == (Status.QUEUED, 1, "")
    assert elsewhere.status == Status.RUNNING
