"""Workers score stored answers again; the history keeps who asked and the earlier outcome."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.management import call_command
from django.utils import timezone

from rlm_runs.analysis import aggregates
from rlm_runs.engine.clients.base import Completion
from rlm_runs.engine.events import Cost, Usage
from rlm_runs.execution import control, queue, rescoring, worker
from rlm_runs.execution.prices import Prices
from rlm_runs.execution.rescoring import RescoringLeases, rescore
from rlm_runs.execution.retry import retry
from rlm_runs.execution.selection import Refused, Selection
from rlm_runs.models import Experiment, Rescoring, Rollout, Trajectory
from tests.factories.traces import Story, make_experiment

Status = Rollout.Status
PRICE = Decimal("0.25")


class Judge:
    """A judge with scripted verdicts or errors."""

    def __init__(self):
        self.says = "yes"
        self.asked = []

    def complete(self, **call):
        self.asked.append(call["model"])
        if isinstance(self.says, Exception):
            raise self.says
        return Completion(content=self.says, usage=Usage(prompt=10, completion=1), seconds=0.1)


@pytest.fixture
def judge(monkeypatch):
    judge = Judge()
    monkeypatch.setattr(queue.current_app, "send_task", lambda *_, **__: None)
    monkeypatch.setattr(worker, "model_named", lambda name: name)
    monkeypatch.setattr(worker, "client_of", lambda _: judge)
    monkeypatch.setattr(Prices, "cost", lambda *_: Cost(PRICE, "test"))
    monkeypatch.setattr(rescoring, "check_judge", lambda _: None)
    # The group commit has a thread and a connection of its own, which do not see the test's transaction.
    monkeypatch.setattr(worker.COMMITS, "record", lambda recorder, events: recorder.record_all(events))
    return judge


@pytest.fixture
def lab(db, judge):
    """Two rollouts that a judge called wrong, one that it could not decide, one that failed."""
    experiment = make_experiment(environments=[("oolong", {"scoring": "judge"})], scaffolds=("llm",), examples=4)
    for rollout in experiment.rollouts().order_by("example_position"):
        told = Story(rollout)
        root = told.root()
        told.turn(root, content="spam")
        told.judge(verdict="no")
        unjudged, failed = rollout.example_position == 2, rollout.example_position == 3
        told.end(
            root,
            answer="spam",
            stop_reason="model_error" if failed else "final_message",
            reward=None if unjudged or failed else 0.0,
        )
        if unjudged:
            rollout.refresh_from_db()
            Rollout.objects.filter(pk=rollout.pk).update(
                stop_reason="unjudged", error="neither", error_boundary="scoring"
            )
    return experiment


def work():
    """Runs the slots of a worker and returns how many rollouts they scored."""
    claimed = rescoring.claim(100)
    leases = RescoringLeases()
    for each in claimed:
        rescoring.run_claimed(each, leases)
    return len(claimed)


def outcomes(experiment):
    return [
        (rollout.status, rollout.stop_reason, rollout.reward)
        for rollout in experiment.rollouts().order_by("example_position")
    ]


def test_answers_are_judged_again_and_nothing_else_changes(lab, judge):
    kept = ("turns", "cost", "seconds", "answer_id", "finished_at", "attempt")
    before = list(lab.rollouts().order_by("pk").values_list(*kept))
    assert rescore(lab, Selection(), judge_model="another-judge", actor="ada") == 3
    assert work() == 3
    assert judge.asked == ["another-judge"] * 3
    assert outcomes(lab) == [("completed", "final_message", 1.0)] * 3 + [("failed", "model_error", None)]
    assert list(lab.rollouts().order_by("pk").values_list(*kept)) == before
    call_command("check_store")


def test_the_history_says_who_when_from_what_to_what_and_by_which_judge(lab):
    rescore(lab, Selection(), judge_model="another-judge", actor="ada")
    work()
    first = Rescoring.objects.filter(rollout__example_position=0).get()
    assert (first.status, first.judge_model, first.attempt, first.cost) == ("done", "another-judge", 1, PRICE)
    assert (first.action.actor, first.before["reward"], first.after["reward"]) == ("ada", 0.0, 1.0)
    asked = first.judges.get()
    assert (asked.kind, asked.model, asked.attempt) == (Trajectory.Kind.JUDGE, "another-judge", 1)
    unjudged = Rescoring.objects.filter(rollout__example_position=2).get()
    assert (unjudged.before["stop_reason"], unjudged.after["stop_reason"]) == ("unjudged", "final_message")
    said = list(lab.actions.order_by("pk").values_list("actor", "action", "details"))
    assert said == [
        ("ada", "rescoring asked for", {"rollouts": 3, "judge": "another-judge"}),
        ("worker", "rescored", {"rollouts": 3, "rewards changed": 3, "failed": 0, "cost": "0.7500000000"}),
    ]


def test_the_cost_of_the_judge_is_added(lab):
    was = lab.rollouts().order_by("pk").first().judge_cost
    rescore(lab, Selection())
    work()
    assert lab.rollouts().order_by("pk").first().judge_cost == was + PRICE


def test_pages_see_the_new_reward(lab):
    seen = aggregates.snapshot(lab)
    assert [arm.reward.mean for arm in aggregates.summary(seen).arms] == [0.0]
    rescore(lab, Selection())
    work()
    again = aggregates.snapshot(Experiment.objects.get(pk=lab.pk))
    assert again.version != seen.version
    assert [arm.reward.mean for arm in aggregates.summary(again).arms] == [1.0]


def test_a_judge_that_cannot_be_asked_changes_no_outcome(lab, judge):
    was = outcomes(lab)
    judge.says = LookupError("no such model")
    rescore(lab, Selection())
    work()
    assert outcomes(lab) == was
    assert {(each.status, each.error) for each in Rescoring.objects.all()} == {
        ("failed", "LookupError: no such model")
    }
    assert lab.actions.first().details["failed"] == 3
    call_command("check_store")


def test_a_judge_that_decides_nothing_changes_no_outcome_but_costs(lab, judge):
    was = outcomes(lab)
    judge.says = "perhaps"
    rescore(lab, Selection())
    work()
    assert outcomes(lab) == was
    assert {each.cost for each in Rescoring.objects.all()} == {2 * PRICE}
    call_command("check_store")


def test_an_environment_without_a_judge_scores_by_itself(db, judge):
    experiment = make_experiment(scaffolds=("llm",), examples=1)
    told = Story(experiment.rollouts().get())
    root = told.root()
    told.turn(root, content="x")
    told.end(root, answer="the quick brown fox 0", reward=0.0, stop_reason="final_message")
    rescore(experiment, Selection())
    work()
    assert outcomes(experiment) == [("completed", "final_message", 1.0)]
    assert judge.asked == []
    assert Rescoring.objects.get().cost == 0


def test_what_waits_is_not_queued_twice(lab):
    assert rescore(lab, Selection()) == 3
    with pytest.raises(Refused, match="or all wait already"):
        rescore(lab, Selection())


def test_a_retry_meanwhile_wins(lab, judge):
    rescore(lab, Selection())
    retry(lab, Selection(), outcomes=["unjudged"])
    work()
    retried = Rescoring.objects.get(rollout__example_position=2)
    assert (retried.status, retried.error) == ("failed", "the rollout was retried meanwhile")
    assert lab.rollouts().get(example_position=2).status == Status.QUEUED


def test_a_paused_experiment_waits_and_a_cancelled_request_ends(lab):
    rescore(lab, Selection())
    control.pause(lab)
    assert rescoring.claim(9) == []
    control.cancel(lab)
    assert set(Rescoring.objects.values_list("status", flat=True)) == {"cancelled"}
    assert rescoring.claim(9) == []


def test_a_dead_workers_scoring_is_queued_again_five_times(lab):
    rescore(lab, Selection(rollouts=[lab.rollouts().first().pk]))
    for expected in ["queued"] * 4 + ["failed"]:
        assert len(rescoring.claim(9)) == 1
        Rescoring.objects.update(worker="elsewhere:1", lease_expires_at=timezone.now() - timedelta(minutes=1))
        rescoring.reap()
        assert Rescoring.objects.get().status == expected


def test_a_cancelled_scoring_is_noticed_with_the_next_renewal(lab):
    rescore(lab, Selection())
    leases = RescoringLeases()
    claimed = rescoring.claim(1)[0]
    with leases.held(claimed) as token:
        leases.renew()
        assert token.reason == ""
        control.cancel(lab)
        leases.renew()
        token._stopped.wait(5)
        assert token.reason == "cancelled"
