"""Experiments are cancelled, paused, resumed and ranked, by page, command and code alike."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from rlm_runs.execution import control, lost_workers, queue
from rlm_runs.models import Rollout

Status = Rollout.Status


def long_ago():
    return timezone.now() - timedelta(hours=2)


@pytest.fixture(autouse=True)
def woken(monkeypatch):
    """The number of notifications to workers."""
    calls = []
    monkeypatch.setattr(queue.current_app, "send_task", lambda task, **_: calls.append(task))
    return calls


def test_cancelling_ends_the_queue_now_and_marks_the_rest(make_rollout, experiment):
    waiting = make_rollout(status=Status.QUEUED, attempt=0)
    running = make_rollout(lease_expires_at=long_ago())
    done = make_rollout(status=Status.COMPLETED, stop_reason="answer_ready", reward=1.0)
    control.cancel(experiment)
    lost_workers.reap()  # the running one's worker is dead: the sweep ends it, and does not queue it again
    for rollout in (waiting, running, done):
        rollout.refresh_from_db()
    assert [waiting.status, running.status, done.status] == [Status.CANCELLED, Status.CANCELLED, Status.COMPLETED]


def test_a_paused_experiment_keeps_its_queue_and_its_running_rollouts(make_rollout, experiment, woken):
    waiting, running = make_rollout(status=Status.QUEUED, attempt=0), make_rollout()
    control.pause(experiment)
    assert queue.claim(5) == []
    running.refresh_from_db()
    assert running.status == Status.RUNNING
    control.resume(experiment)
    assert woken == [queue.WORK]
    assert [rollout.pk for rollout in queue.claim(5)] == [waiting.pk]


def test_a_second_pause_does_not_move_the_first(experiment):
    control.pause(experiment)
    experiment.refresh_from_db()
    first = experiment.paused_at
    control.pause(experiment)
    experiment.refresh_from_db()
    assert experiment.paused_at == first


def test_a_priority_has_limits(experiment):
    control.set_priority(experiment, 100)
    experiment.refresh_from_db()
    assert experiment.priority == 100
    with pytest.raises(ValueError, match="from -100 to 100, not 101"):
        control.set_priority(experiment, 101)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["pause"], "e: paused, priority 0"),
        (["resume"], "e: active, priority 0"),
        (["priority", "7"], "e: active, priority 7"),
        (["cancel"], "e: cancelled, priority 0"),
    ],
)
def test_the_command_does_it_and_says_the_state(experiment, capsys, arguments, said):
    call_command("control", "e", *arguments)
    assert capsys.readouterr().out.strip() == said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing", "pause"], "there is no experiment 'nothing'"),
        (["e", "priority"], "priority needs a number"),
        (["e", "priority", "500"], "from -100 to 100, not 500"),
    ],
)
def test_the_command_says_what_is_wrong(experiment, arguments, said):
    with pytest.raises(CommandError, match=said):
        call_command("control", *arguments)
