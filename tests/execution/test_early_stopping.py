"""Early stopping in the store: which arms end, when, with what evidence, and that nothing else does."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from rlm_runs.execution import control, early_stopping, queue
from rlm_runs.execution.sweep import Sweeper
from rlm_runs.models import ArmDecision, ExperimentAction, Rollout, StoppingLook

from ..factories.rollout_rows import Plan, make

Status = Rollout.Status
QUEUED = {"status": "queued", "stop_reason": ""}
BETTING = {"method": "betting", "alpha": 0.05, "min_examples": 5}


def experiment_of(rewards, *, spec=None, examples=40, plans=None, repetitions=1):
    """`rewards` is arm position → the rewards of its first examples; the rest is queued. None: failed."""

    def row(rng, arm, number):
        own = rewards[arm.position]
        if number >= len(own):
            return dict(QUEUED)
        if own[number] == "running":
            return {"status": "running", "stop_reason": ""}
        if own[number] is None:
            return {"status": "failed", "stop_reason": "prompt_too_long"}
        return {"reward": float(own[number])}

    plans = plans or [Plan(scaffold="llm")] + [Plan(scaffold="rlm")] * (len(rewards) - 1)
    made = make(plans, examples=examples, row=row, repetitions=repetitions)
    made.spec = {"early_stopping": BETTING if spec is None else spec}
    made.save()
    return made


def states(experiment, position):
    rows = Rollout.objects.filter(arm__experiment=experiment, arm__position=position).order_by("example_position")
    return list(rows.values_list("status", "stop_reason"))


def reasons(experiment):
    return {d.arm.position: d.reason for d in ArmDecision.objects.filter(arm__experiment=experiment)}


@pytest.mark.django_db
def test_a_decided_arm_ends_and_so_does_the_baseline_that_nobody_needs_any_more():
    found = experiment_of([[0] * 12, [1] * 12])
    ended = early_stopping.look_at(found.pk)
    assert reasons(found) == {0: "unneeded", 1: "ahead"}
    assert states(found, 1)[12:] == [("cancelled", "decided")] * 28
    assert states(found, 1)[:12] == [("completed", "answer_ready")] * 12
    decision = next(each for each in ended if each.reason == "ahead")
    assert (decision.examples, decision.estimate, decision.rollouts) == (8, 1.0, 28)
    assert (decision.alpha, decision.level, decision.baseline.position) == (0.05, 0.05, 0)
    assert 0 < decision.low < 1 == decision.high
    assert decision.e_value == pytest.approx(511 / 9 / 2, rel=0.01)
    logged = ExperimentAction.objects.filter(experiment=found, action="arm ended", actor="worker")
    assert [each.details["rollouts not run"] for each in logged] == [28, 28]


@pytest.mark.django_db
def test_the_baseline_runs_on_while_an_arm_needs_it():
    found = experiment_of([[0] * 12, [1] * 12, [0] * 12])
    early_stopping.look_at(found.pk)
    assert reasons(found) == {1: "ahead"}
    assert states(found, 0)[12:] == [("queued", "")] * 28
    assert states(found, 2)[12:] == [("queued", "")] * 28


@pytest.mark.django_db
def test_an_undecided_comparison_runs_on():
    found = experiment_of([[0, 1] * 6, [1, 0] * 6])
    assert early_stopping.look_at(found.pk) == []
    assert not Rollout.objects.filter(stop_reason="decided").exists()


@pytest.mark.django_db
def test_the_error_rate_is_shared_by_all_comparisons():
    """Eight wins decide one comparison at 0.05, and none of ten at 0.005 each."""
    alone = experiment_of([[0] * 8, [1] * 8])
    early_stopping.look_at(alone.pk)
    assert reasons(alone)[1] == "ahead"
    ten = experiment_of([[0] * 8, [1] * 8, *([[0] * 8] * 9)])
    early_stopping.look_at(ten.pk)
    assert reasons(ten) == {}


@pytest.mark.django_db
def test_running_rollouts_finish():
    found = experiment_of([[0] * 12, [1] * 10 + ["running"] * 2])
    early_stopping.look_at(found.pk)
    assert reasons(found)[1] == "ahead"
    assert states(found, 1)[10:12] == [("running", "")] * 2


@pytest.mark.django_db
def test_a_rollout_that_lost_its_worker_finishes_and_a_retry_runs():
    found = experiment_of([[0] * 12, [1] * 12])
    begun = Rollout.objects.filter(arm__experiment=found, arm__position=1, example_position=20)
    begun.update(attempt=1)
    early_stopping.look_at(found.pk)
    assert begun.get().status == Status.QUEUED
    assert ArmDecision.objects.get(reason="ahead").rollouts == 27


@pytest.mark.django_db
def test_differences_wait_for_the_first_open_example():
    """Fast wins after an open example do not count yet, whatever they say."""
    found = experiment_of([[0] * 20, [1, 1, "running", *[1] * 17]])
    assert early_stopping.look_at(found.pk) == []
    slow = Rollout.objects.get(arm__experiment=found, status="running")
    Rollout.objects.filter(pk=slow.pk).update(status="completed", stop_reason="answer_ready", reward=1.0)
    assert {each.reason for each in early_stopping.look_at(found.pk)} == {"ahead", "unneeded"}


@pytest.mark.django_db
def test_rollouts_without_a_reward_are_left_out_or_count_as_zero_as_the_spec_says():
    rewards = [[None] * 12, [1] * 12]
    left_out = experiment_of(rewards)
    assert early_stopping.look_at(left_out.pk) == []
    as_zero = experiment_of(rewards, spec={**BETTING, "unscored": "zero"})
    early_stopping.look_at(as_zero.pk)
    assert reasons(as_zero)[1] == "ahead"


@pytest.mark.django_db
def test_a_difference_below_the_smallest_of_interest_ends_the_arm():
    found = experiment_of([[1] * 60, [1] * 60], examples=100, spec={**BETTING, "margin": 0.1})
    early_stopping.look_at(found.pk)
    assert reasons(found) == {0: "unneeded", 1: "equivalent"}
    decision = ArmDecision.objects.get(reason="equivalent")
    assert -0.1 < decision.low < 0 < decision.high < 0.1


@pytest.mark.django_db
def test_repetitions_are_averaged_first_and_the_first_ones_decide_alone():
    """The second repetition is queued behind the first of all examples; it is a stage of its own."""

    def row(rng, arm, number):
        return {"reward": float(arm.position)}

    found = make([Plan(scaffold="llm"), Plan(scaffold="rlm")], examples=20, repetitions=2, row=row)
    found.spec = {"early_stopping": BETTING}
    found.save()
    Rollout.objects.filter(arm__experiment=found, repetition=1).update(
        status="queued", attempt=0, stop_reason="", reward=None
    )
    early_stopping.look_at(found.pk)
    decision = ArmDecision.objects.get(reason="ahead")
    assert decision.level == pytest.approx(0.025)
    assert decision.examples == 9
    assert decision.rollouts == 20


@pytest.mark.django_db
def test_the_named_baseline_is_the_one_that_arms_are_compared_with():
    plans = [Plan(scaffold="llm"), Plan(scaffold="rlm"), Plan(scaffold="rlm_tips")]
    found = experiment_of([[0] * 12, [1] * 12, [1] * 12], plans=plans, spec={**BETTING, "baseline": "rlm"})
    early_stopping.look_at(found.pk)
    assert reasons(found) == {0: "behind"}
    assert ArmDecision.objects.get().baseline.scaffold == "rlm"


@pytest.mark.django_db
def test_without_early_stopping_nothing_is_looked_at():
    found = experiment_of([[0] * 12, [1] * 12])
    found.spec = {}
    found.save()
    assert early_stopping.look_at_all() == 0
    assert not ArmDecision.objects.exists()
    assert not StoppingLook.objects.exists()


@pytest.mark.django_db
def test_the_sweep_looks_once_per_change_and_again_when_something_ended(settings):
    settings.RLM_SWEEP_SECONDS = 0
    found = experiment_of([[0, 1] * 6, [1, 0] * 6])
    Rollout.objects.filter(arm__experiment=found).update(finished_at=None)
    Sweeper().sweep()
    an_hour_ago = timezone.now() - timedelta(hours=1)
    StoppingLook.objects.update(looked_at=an_hour_ago, next_at=an_hour_ago)
    Sweeper().sweep()
    assert StoppingLook.objects.get().looked_at == an_hour_ago
    Rollout.objects.filter(arm__experiment=found, status="queued", example_position=12).update(
        status="completed", stop_reason="answer_ready", reward=1.0, finished_at="2100-01-01T00:00Z"
    )
    Sweeper().sweep()
    assert StoppingLook.objects.get().looked_at > an_hour_ago


@pytest.mark.django_db
def test_looking_again_changes_nothing():
    found = experiment_of([[0] * 12, [1] * 12, [0] * 12])
    early_stopping.look_at(found.pk)
    before = list(ArmDecision.objects.values()), states(found, 0), states(found, 1)
    StoppingLook.objects.all().delete()  # as after a restore of the database
    assert early_stopping.look_at(found.pk) == []
    assert (list(ArmDecision.objects.values()), states(found, 0), states(found, 1)) == before


@pytest.mark.django_db(transaction=True)
def test_two_workers_that_look_at_once_end_an_arm_once():
    found = experiment_of([[0] * 12, [1] * 12])
    barrier = threading.Barrier(2)

    def look():
        try:
            barrier.wait()
            return len(early_stopping.look_at(found.pk))
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        ended = [each.result() for each in [pool.submit(look), pool.submit(look)]]
    assert sorted(ended) == [0, 2]
    assert ArmDecision.objects.count() == 2


@pytest.mark.django_db
def test_an_end_that_fails_half_way_leaves_nothing_behind(monkeypatch):
    found = experiment_of([[0] * 12, [1] * 12])
    monkeypatch.setattr(early_stopping, "record_action", lambda *a, **k: 1 / 0)
    assert early_stopping.look_at_all() == 0
    assert not ArmDecision.objects.exists()
    assert states(found, 1)[12:] == [("queued", "")] * 28
    monkeypatch.undo()
    assert early_stopping.look_at_all() == 2


@pytest.mark.django_db
def test_settings_that_cannot_be_read_end_nothing(caplog):
    found = experiment_of([[0] * 12, [1] * 12], spec={"method": "of another version"})
    assert early_stopping.look_at(found.pk) == []
    assert "cannot be read" in caplog.text


@pytest.mark.django_db
def test_rewards_that_are_not_bounded_end_nothing():
    found = experiment_of([[0] * 12, [7] * 12])
    assert early_stopping.look_at(found.pk) == []


@pytest.mark.django_db
def test_a_cancelled_experiment_is_left_alone():
    found = experiment_of([[0] * 12, [1] * 12])
    control.cancel(found)
    assert early_stopping.look_at_all() == 0
    assert states(found, 1)[12:] == [("cancelled", "cancelled")] * 28
    assert early_stopping.run_decided(found) == 0


@pytest.mark.django_db
def test_the_rest_runs_after_all_when_somebody_says_so_and_is_not_ended_again():
    found = experiment_of([[0] * 12, [1] * 12])
    early_stopping.look_at(found.pk)
    assert queue.claim(5) == []
    assert early_stopping.run_decided(found, actor="ada") == 56
    assert early_stopping.look_at(found.pk) == []
    assert len(queue.claim(5)) == 5
    assert all(each.reopened_at for each in ArmDecision.objects.all())
    assert ExperimentAction.objects.filter(action="reopened", actor="ada", details={"rollouts": 56}).exists()


HALVING = {"method": "halving", "min_examples": 4, "eta": 2}


def arms(count):
    return [Plan(scaffold="rlm", scaffold_settings={"at": at}) for at in range(count)]


@pytest.mark.django_db
def test_halving_keeps_the_better_half_at_each_rung():
    found = experiment_of([[at / 4] * 4 for at in range(4)], plans=arms(4), spec=HALVING)
    early_stopping.look_at(found.pk)
    assert reasons(found) == {0: "pruned", 1: "pruned"}
    decision = ArmDecision.objects.get(arm__position=1)
    assert (decision.estimate, decision.needed, decision.rung, decision.examples) == (0.25, 0.5, 4, 4)
    assert decision.e_value is None
    Rollout.objects.filter(arm__experiment=found, status="queued", example_position__lt=8).update(
        status="completed", stop_reason="answer_ready", reward=0.5
    )
    early_stopping.look_at(found.pk)
    assert reasons(found) == {0: "pruned", 1: "pruned", 2: "pruned"}
    assert ArmDecision.objects.get(arm__position=2).rung == 8


@pytest.mark.django_db
def test_halving_waits_until_all_arms_have_reached_the_rung():
    found = experiment_of([[0] * 4, [1] * 3, [1] * 4, [0] * 4], plans=arms(4), spec=HALVING)
    assert early_stopping.look_at(found.pk) == []


@pytest.mark.django_db
def test_arms_that_tie_at_the_line_all_pass():
    found = experiment_of([[1] * 4, [0.5] * 4, [0.5] * 4, [0] * 4], plans=arms(4), spec=HALVING)
    early_stopping.look_at(found.pk)
    assert reasons(found) == {3: "pruned"}


@pytest.mark.django_db
def test_a_named_baseline_is_not_pruned():
    plans = [Plan(scaffold="llm"), *arms(4)]
    rewards = [[0] * 4, [0.1] * 4, [0.2] * 4, [0.3] * 4, [0.4] * 4]
    found = experiment_of(rewards, plans=plans, spec={**HALVING, "baseline": "llm"})
    early_stopping.look_at(found.pk)
    assert reasons(found) == {1: "pruned", 2: "pruned"}


@pytest.mark.django_db
def test_environments_are_halved_apart_and_the_last_arms_are_kept():
    plans = [
        Plan(environment=env, scaffold_settings={"at": at}) for env in ("oolong", "math-python") for at in (0, 1)
    ]
    found = experiment_of([[0] * 4, [0.1] * 4, [0.9] * 4, [1] * 4], plans=plans, spec=HALVING)
    early_stopping.look_at(found.pk)
    assert reasons(found) == {0: "pruned", 2: "pruned"}
    three = experiment_of([[at / 4] * 4 for at in range(3)], plans=arms(3), spec={**HALVING, "keep": 3})
    assert early_stopping.look_at(three.pk) == []
