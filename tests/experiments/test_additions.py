"""Arms, examples and repetitions are added to an experiment; what is there stays, and adding twice adds once."""

from __future__ import annotations

import pytest

from rlm_runs.execution import control, queue
from rlm_runs.execution.selection import Refused
from rlm_runs.experiments.additions import additions, extend, extended_spec
from rlm_runs.experiments.launch import SpecError, launch
from rlm_runs.models import Rollout

SPEC = {
    "name": "grows",
    "examples": 3,
    "seed": 7,
    "models": ["demo-model"],
    "scaffolds": ["llm"],
    "environments": ["verbatim-copy", {"name": "needle-in-haystack", "lines": 50}],
}


@pytest.fixture
def lab(db, monkeypatch):
    monkeypatch.setattr(queue.current_app, "send_task", lambda *_, **__: None)
    return launch(SPEC)


def state(experiment):
    columns = ("pk", "arm", "example", "example_position", "repetition")
    return set(experiment.rollouts().values_list(*columns))


def examples_of(arm):
    return list(arm.rollouts.order_by("example_position").values_list("example", flat=True).filter(repetition=0))


def test_more_examples_go_behind_those_that_are_there(lab):
    before = state(lab)
    firsts = {arm.pk: examples_of(arm) for arm in lab.arms.all()}
    raw = extended_spec(lab, examples=5)
    told = additions(lab, raw)
    assert (told.rollouts, len(told.arms), told.dollars is not None) == (4, 0, True)
    assert extend(lab, raw, actor="ada") == 4
    assert before < state(lab)
    for arm in lab.arms.all():
        assert examples_of(arm)[:3] == firsts[arm.pk]
        assert len(set(examples_of(arm))) == 5
    lab.refresh_from_db()
    assert lab.spec["examples"] == 5
    action = lab.actions.first()
    assert (action.actor, action.action, action.details["rollouts"]) == ("ada", "extended", 4)


def test_a_new_arm_gets_the_same_examples_and_repetitions(lab):
    before = state(lab)
    assert extend(lab, extended_spec(lab, scaffolds=["rlm"], repetitions=2)) == 18
    assert before < state(lab)
    assert lab.arms.count() == 4
    of_environment = {}
    for arm in lab.arms.all():
        of_environment.setdefault(arm.environment, set()).add(tuple(examples_of(arm)))
        assert arm.rollouts.count() == 6
    assert [len(found) for found in of_environment.values()] == [1, 1]
    assert sorted(lab.arms.values_list("position", flat=True)) == [0, 1, 2, 3]


def test_a_new_environment_has_examples_of_its_own(lab):
    assert extend(lab, extended_spec(lab, environments=["oolong"])) == 3
    assert lab.arms.get(environment="oolong").rollouts.count() == 3


def test_adding_twice_adds_once(lab):
    raw = extended_spec(lab, examples=4, scaffolds=["rlm"])
    assert extend(lab, raw) == 10
    after = state(lab)
    assert extend(lab, raw) == 0
    assert state(lab) == after
    assert lab.actions.filter(action="extended").count() == 1


def test_what_ended_stays_as_it_is(lab):
    lab.rollouts().update(status=Rollout.Status.COMPLETED, stop_reason="final_message", reward=1.0)
    extend(lab, extended_spec(lab, examples=4))
    assert sorted(lab.rollouts().values_list("status", flat=True)) == ["completed"] * 6 + ["queued"] * 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"examples": 2}, "it has 3 examples already"),
        ({"seed": 8}, "its seed is 7, not 8"),
        ({"scaffolds": ["rlm"]}, "is not in the new spec"),
        ({"environments": ["verbatim-copy"]}, "is not in the new spec"),
    ],
)
def test_nothing_is_taken_away(lab, change, said):
    with pytest.raises(Refused, match=said):
        extend(lab, {**lab.spec, **change})
    assert lab.rollouts().count() == 6


def test_a_wrong_spec_says_where(lab):
    with pytest.raises(SpecError) as error:
        extend(lab, extended_spec(lab, scaffolds=["rml"]))
    assert error.value.problems[0].field == "scaffolds[1].name"


def test_cancelled_and_imported_experiments_are_refused(lab):
    control.cancel(lab)
    lab.refresh_from_db()
    with pytest.raises(Refused, match="cancelled"):
        extend(lab, extended_spec(lab, examples=4))
    lab.sources = [{"path": "x"}]
    lab.save()
    with pytest.raises(Refused, match="imported"):
        extend(lab, extended_spec(lab, examples=4))
