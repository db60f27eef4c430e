"""Sums of an experiment: no silent zeros, and a bounded number of queries."""

from decimal import Decimal

import pytest

from rlm_runs.analysis import aggregates
from rlm_runs.analysis.aggregates import Unscored
from rlm_runs.models import Rollout
from tests.factories.rollout_rows import Plan, make, snapshot
from tests.factories.traces import make_experiment, play_llm, play_rlm


def summary(experiment, **kwargs):
    return aggregates.summary(snapshot(experiment), **kwargs)


def arms_of(experiment, **kwargs):
    return {arm.scaffold: arm for arm in summary(experiment, **kwargs).arms}


def test_what_was_not_scored_is_left_out_and_counted(played):
    arm = arms_of(played)["llm"]
    assert (arm.total, arm.scored, arm.left_out.too_long, arm.left_out.failed) == (3, 2, 1, 0)
    assert arm.reward.n == 2
    assert arms_of(played)["rlm"].left_out.failed == 1


def test_it_can_count_as_zero(played):
    exclude, zero = arms_of(played)["llm"].reward, arms_of(played, unscored=Unscored.ZERO)["llm"].reward
    assert (zero.n, zero.mean) == (3, pytest.approx(exclude.mean * 2 / 3))


def test_cancelled_and_unfinished_count_in_neither_way(queued):
    Rollout.objects.filter(arm__scaffold="llm").update(status="cancelled")
    for unscored in Unscored:
        assert arms_of(queued, unscored=unscored)["llm"].reward is None
        assert arms_of(queued, unscored=unscored)["rlm"].counted == 0


def test_unknown_cost_is_counted_and_not_zero(played):
    arm = arms_of(played)["llm"]
    assert (arm.money.priced, arm.money.unpriced) == (2, 1)
    assert aggregates.progress(played).unpriced >= 1


def test_earlier_attempts_are_part_of_what_was_spent(played):
    again = Rollout.objects.get(attempt=2)
    assert again.earlier_cost > 0
    total = sum((rollout.cost or 0) + (rollout.earlier_cost or 0) for rollout in played.rollouts())
    assert aggregates.progress(played).cost == total
    arms = summary(played).arms
    assert sum((arm.money.total for arm in arms), Decimal(0)) == total


def test_means_are_over_rollouts_that_ran(queued):
    first = queued.rollouts().filter(arm__scaffold="llm").order_by("example_position").first()
    play_llm(first)
    arm = arms_of(queued)["llm"]
    assert (arm.means["main_prompt_tokens"], arm.means["turns"], arm.left_out.unfinished) == (1200, 1, 2)
    assert set(arms_of(queued)["rlm"].means.values()) == {None}


def test_six_queries_however_many_arms(played, django_assert_num_queries):
    with django_assert_num_queries(6):
        summary(played)
    larger = make_experiment(name="larger", environments=("verbatim-copy", "oolong"), examples=5)
    with django_assert_num_queries(6):
        summary(larger)


def test_progress_is_two_queries_for_many(played, django_assert_num_queries):
    other = make_experiment(name="other")
    with django_assert_num_queries(2):
        found = aggregates.progress_by_experiment([played, other])
    assert found[played.pk].is_finished
    assert (found[other.pk].queued, found[other.pk].arms, found[other.pk].percent) == (9, 3, 0)


def test_the_version_changes_with_every_end(queued):
    before = aggregates.progress(queued).version
    assert aggregates.progress(queued).version == before
    play_llm(queued.rollouts().filter(arm__scaffold="llm").first())
    assert aggregates.progress(queued).version != before


@pytest.mark.django_db
def test_differing_settings_name_groups_and_series():
    experiment = make_experiment(
        environments=[("oolong", {"labels": True, "length": 100}), ("oolong", {"labels": True, "length": 200})],
        models=("a", "b"),
        scaffolds=("llm",),
    )
    arms = summary(experiment).arms
    assert [arm.group for arm in arms] == [
        "oolong · length 100 · model a",
        "oolong · length 100 · model b",
        "oolong · length 200 · model a",
        "oolong · length 200 · model b",
    ]
    assert {arm.series for arm in arms} == {"LLM"}


@pytest.mark.django_db
def test_a_judge_or_sub_model_of_its_own_is_a_setting():
    experiment = make_experiment(models=("a", "b"), scaffolds=("rlm",))
    first, second = experiment.arms.all()
    first.judge_model, second.judge_model, second.sub_model = "a", "j", "s"
    first.save()
    second.save()
    groups = [arm.group for arm in summary(experiment).arms]
    assert groups == [
        "verbatim-copy · judge the same · model a · sub-model the same",
        "verbatim-copy · judge j · model b · sub-model s",
    ]


@pytest.mark.django_db
def test_settings_of_a_scaffold_make_series():
    experiment = make_experiment(scaffolds=("rlm", "rlm"))
    for arm in experiment.arms.all():
        arm.scaffold_settings = {"cell_time_limit": 120 + 180 * arm.position}
        arm.save()
    arms = summary(experiment).arms
    assert [arm.series for arm in arms] == ["RLM · cell_time_limit 120", "RLM · cell_time_limit 300"]
    assert {arm.group for arm in arms} == {"verbatim-copy"}


def test_comparisons_are_paired_by_example(queued):
    """Of three examples, the RLM is better on one, and one pair lacks a reward."""
    by_scaffold = {
        scaffold: list(queued.rollouts().filter(arm__scaffold=scaffold).order_by("example_position"))
        for scaffold in ("llm", "rlm")
    }
    for rollout, reward in zip(by_scaffold["llm"], [0.0, 1.0], strict=False):
        play_llm(rollout, reward=reward)
    for rollout in by_scaffold["rlm"]:
        play_rlm(rollout, reward=1.0)
    first, second = summary(queued).comparisons
    assert (first.arm.scaffold, first.baseline.scaffold) == ("rlm", "llm")
    assert (first.paired.n, first.paired.better, first.paired.worse) == (2, 1, 0)
    assert second.paired is None


@pytest.mark.django_db
def test_models_are_compared_where_there_is_one_scaffold():
    experiment = make([Plan(model="a"), Plan(model="b"), Plan("needle-in-haystack")], examples=4)
    (found,) = summary(experiment).comparisons
    assert (found.name, found.baseline_name, found.group) == ("LLM · model b", "LLM · model a", "oolong")


def test_the_best_arm_has_the_interval_of_its_page(played, django_assert_num_queries):
    with django_assert_num_queries(3):
        best = aggregates.best_arms([played])[played.pk]
    of_page = max(summary(played).arms, key=lambda arm: arm.reward.mean if arm.reward else -1)
    assert (best.arm.pk, best.reward) == (of_page.pk, of_page.reward)
