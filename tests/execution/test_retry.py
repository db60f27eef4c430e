"""Failed rollouts get a new attempt; the old one keeps its outcome and its cost."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.core.management import call_command

from rlm_runs.execution import control, queue
from rlm_runs.execution.retry import retry
from rlm_runs.execution.selection import Refused, Selection
from rlm_runs.models import Attempt, Rollout
from tests.factories.traces import Story, make_experiment

Status = Rollout.Status
COST = Decimal("0.0012345678")


@pytest.fixture(autouse=True)
def no_broker(monkeypatch):
    monkeypatch.setattr(queue.current_app, "send_task", lambda *_, **__: None)


@pytest.fixture
def lab(db):
    """One arm with four rollouts: one failed, one too long, one right, one never claimed."""
    experiment = make_experiment(scaffolds=("llm",), examples=4)
    failed, too_long, right, _ = experiment.rollouts().order_by("example_position")
    for rollout, stop_reason, reward in (
        (failed, "model_error", None),
        (too_long, "prompt_too_long", None),
        (right, "final_message", 1.0),
    ):
        told = Story(rollout)
        root = told.root()
        told.turn(root, content="thinking")
        error = {} if reward else {"error": "broken", "boundary": "model"}
        told.end(root, stop_reason=stop_reason, reward=reward, **error)
    return experiment


def by_place(experiment):
    return list(experiment.rollouts().order_by("example_position"))


def test_a_failed_rollout_is_queued_and_its_outcome_is_kept(lab):
    assert retry(lab, Selection(), actor="ada") == 1
    failed, too_long, right, _ = by_place(lab)
    assert (failed.status, failed.attempt, failed.stop_reason, failed.error, failed.cost) == (
        *(Status.QUEUED, 1, "", ""),
        None,
    )
    assert failed.earlier_cost == COST
    assert (too_long.status, right.status) == (Status.FAILED, Status.COMPLETED)
    kept = Attempt.objects.get()
    assert (kept.rollout_id, kept.number, kept.status, kept.stop_reason) == (failed.pk, 1, "failed", "model_error")
    assert (kept.error, kept.error_boundary, kept.cost, kept.sums["turns"]) == ("broken", "model", COST, 1)
    action = lab.actions.first()
    assert (action.actor, action.action, action.details) == (
        "ada",
        "retried",
        {"rollouts": 1, "outcomes": "failed"},
    )


def test_the_next_attempt_counts_and_costs_add_up(lab):
    retry(lab, Selection())
    rollout = by_place(lab)[0]
    told = Story(rollout)
    root = told.root()
    told.turn(root, content="again")
    told.end(root, stop_reason="final_message", reward=1.0)
    rollout.refresh_from_db()
    assert (rollout.status, rollout.attempt, rollout.reward) == (Status.COMPLETED, 2, 1.0)
    assert (rollout.cost, rollout.earlier_cost, rollout.turns) == (COST, COST, 1)
    call_command("check_store")


def test_outcomes_arms_and_rollouts_can_be_chosen(lab):
    rollouts = by_place(lab)
    with pytest.raises(Refused, match="is cancelled there"):
        retry(lab, Selection(), outcomes=["cancelled"])
    with pytest.raises(Refused, match="has no arm 999999"):
        retry(lab, Selection(arm=999999))
    with pytest.raises(Refused, match="unknown outcome 'sad'"):
        retry(lab, Selection(), outcomes=["sad"])
    with pytest.raises(Refused, match="has no rollout 999999"):
        retry(lab, Selection(rollouts=[999999]))
    with pytest.raises(Refused):  # it has a reward
        retry(lab, Selection(rollouts=[rollouts[2].pk]))
    assert retry(lab, Selection(arm=lab.arms.get().pk, rollouts=[rollouts[1].pk]), outcomes=["too_long"]) == 1
    assert by_place(lab)[1].status == Status.QUEUED


def test_a_second_retry_finds_nothing(lab):
    retry(lab, Selection())
    with pytest.raises(Refused):
        retry(lab, Selection())
    assert Attempt.objects.count() == 1


def test_imported_rollouts_cannot_be_retried(lab):
    lab.sources = [{"path": "x"}]
    lab.save()
    with pytest.raises(Refused, match="imported"):
        retry(lab, Selection())


def test_a_retry_opens_a_cancelled_experiment_again(lab):
    control.cancel(lab)
    assert retry(lab, Selection(), outcomes=["cancelled", "failed"]) == 2
    lab.refresh_from_db()
    assert lab.cancelled_at is None
    never_began = by_place(lab)[3]
    assert (never_began.status, never_began.attempt, never_began.earlier_cost) == (Status.QUEUED, 0, Decimal(0))
    assert Attempt.objects.count() == 1  # of the one that had begun


def test_a_cancelled_experiment_that_still_runs_is_not_opened(lab):
    control.cancel(lab)
    lab.rollouts().filter(reward=1.0).update(status=Status.RUNNING)
    with pytest.raises(Refused, match="have not stopped yet"):
        retry(lab, Selection())


def test_cancelling_makes_a_waiting_retry_what_it_was(lab):
    before = Rollout.objects.values().get(pk=by_place(lab)[0].pk)
    retry(lab, Selection())
    control.cancel(lab)
    after = Rollout.objects.values().get(pk=before["id"])
    assert after == before
    assert not Attempt.objects.exists()
    assert lab.actions.first().details == {"queued rollouts": 1, "retries withdrawn": 1}
    call_command("check_store")


def test_a_cut_off_rollout_that_is_cancelled_in_the_queue_keeps_what_it_cost(lab):
    rollout = by_place(lab)[3]
    told = Story(rollout)
    told.turn(told.root(), content="cut off")
    Rollout.objects.filter(pk=rollout.pk).update(status=Status.QUEUED)
    control.cancel(lab)
    rollout.refresh_from_db()
    assert (rollout.status, rollout.cost, rollout.turns) == (Status.CANCELLED, COST, 1)
    call_command("check_store")
