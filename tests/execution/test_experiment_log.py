"""Each action on an experiment is in its log: who, when, what."""

from __future__ import annotations

import pytest
from django.core.management import call_command

from rlm_runs.execution import control, queue
from rlm_runs.execution.experiment_log import WORKER, record_action
from rlm_runs.models import Rollout


@pytest.fixture(autouse=True)
def no_broker(monkeypatch):
    monkeypatch.setattr(queue.current_app, "send_task", lambda *_, **__: None)


def told(experiment):
    """The log, the first action first."""
    return list(experiment.actions.order_by("pk").values_list("actor", "action", "details"))


def test_each_action_is_recorded_with_who_took_it(make_rollout, experiment):
    make_rollout(status=Rollout.Status.QUEUED)
    make_rollout()
    control.pause(experiment, actor="ada")
    control.resume(experiment, actor="grace")
    control.set_priority(experiment, 7, actor="ada")
    call_command("control", "e", "cancel")
    assert told(experiment) == [
        ("ada", "paused", {}),
        ("grace", "resumed", {}),
        ("ada", "ranked", {"priority": 7}),
        ("command line", "cancelled", {"queued rollouts": 1, "running": 1}),
    ]
    assert all(action.at for action in experiment.actions.all())


def test_what_changes_nothing_is_not_recorded(experiment):
    control.resume(experiment)
    control.set_priority(experiment, 0)
    control.pause(experiment)
    control.pause(experiment)
    control.cancel(experiment)
    control.cancel(experiment)
    assert [action for _, action, _ in told(experiment)] == ["paused", "cancelled"]


def test_a_worker_records_by_id_and_hostile_text_is_kept(experiment):
    record_action(experiment.pk, action="arms paused", actor=WORKER, details={"reason": "circuit\x00open"})
    assert told(experiment) == [("worker", "arms paused", {"reason": "circuit\x1a0000open"})]
