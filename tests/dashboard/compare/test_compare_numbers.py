"""Every number of a comparison equals the same number computed in plain Python from the rows."""

import math
from collections import defaultdict
from decimal import Decimal
from itertools import product
from statistics import fmean

import pytest

from rlm_runs.analysis.aggregates.comparison import side_by_side
from rlm_runs.analysis.aggregates.frame import Outcome, load
from rlm_runs.analysis.aggregates.matrix import Matrix, Show
from rlm_runs.analysis.aggregates.measures import MEASURES
from rlm_runs.analysis.aggregates.pareto_front import front
from rlm_runs.analysis.aggregates.unscored import Unscored
from rlm_runs.models import Rollout
from tests.factories.traces import make_experiment

pytestmark = pytest.mark.django_db

NAMES = ("reward", "main_tokens", "cost", "seconds")
WORST = {"llm": 0.2, "rlm": 0.5, "rlm_tips": 0.8}


@pytest.fixture
def arms():
    """Three arms of one experiment and one of another on twelve examples; the first has no reward on two."""
    one = make_experiment(name="one", examples=12)
    other = make_experiment(name="other", examples=12, scaffolds=("rlm",), models=("gpt",))
    for experiment in (one, other):
        for rollout in experiment.rollouts().select_related("arm"):
            number, scaffold = rollout.example_position, rollout.arm.scaffold
            if scaffold == "llm" and number in (3, 7):
                end(rollout, reward=None)
            else:
                end(rollout, reward=float((number * 7 + rollout.arm_id * 3) % 10 < 10 * WORST[scaffold]))
    return [*one.arms.values_list("pk", flat=True), *other.arms.values_list("pk", flat=True)]


def end(rollout, *, reward):
    """Fills in the columns that a comparison reads. Without a reward the prompt was too long."""
    some = rollout.pk * 37 % 101
    Rollout.objects.filter(pk=rollout.pk).update(
        status="failed" if reward is None else "completed",
        stop_reason="prompt_too_long" if reward is None else "answer_ready",
        reward=reward,
        seconds=some / 7,
        cost=Decimal(some) / 1000,
        main_prompt_tokens=1000 + 13 * some,
        main_completion_tokens=some,
    )


def compared(arms, *, unscored=Unscored.EXCLUDE, names=NAMES):
    measures = [MEASURES[name] for name in names]
    return side_by_side(load(arms, measures=measures), arms, measures=measures, unscored=unscored)


def values(arms, name, *, unscored=Unscored.EXCLUDE):
    """Arm → example → the mean of the rollouts that count."""
    found = defaultdict(lambda: defaultdict(list))
    for row in Rollout.objects.filter(arm__in=arms):
        if row.reward is None and unscored is not Unscored.ZERO:
            continue
        value = (row.reward or 0.0) if name == "reward" else getattr(row, name)
        found[row.arm_id][row.example_id].append(float(value))
    if unscored is Unscored.COMMON:
        lacking = set(Rollout.objects.filter(arm__in=arms, reward=None).values_list("example", flat=True))
        for of_arm in found.values():
            for example in lacking:
                of_arm.pop(example, None)
    return {arm: {example: fmean(each) for example, each in found[arm].items()} for arm in arms}


def wilson(wins, n):
    z = 1.959963984540054
    centre, reach = wins / n + z * z / (2 * n), z * math.sqrt(wins / n * (1 - wins / n) / n + z * z / (4 * n * n))
    return [(centre + side * reach) / (1 + z * z / n) for side in (-1, 1)]


def mcnemar(better, worse):
    n = better + worse
    return min(1.0, 2 * sum(math.comb(n, k) for k in range(min(better, worse) + 1)) / 2**n)


def by_flips(differences):
    """The sign-flip test over every pattern of signs."""
    seen = abs(sum(differences))
    sums = [abs(sum(s * d for s, d in zip(signs, differences, strict=True))) for signs in
            product((1, -1), repeat=len(differences))]  # fmt: skip
    return sum(each >= seen - 1e-9 for each in sums) / len(sums)


def holm(p_values):
    order = sorted(range(len(p_values)), key=lambda at: p_values[at])
    adjusted, worst = [0.0] * len(p_values), 0.0
    for rank, at in enumerate(order):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[at]))
        adjusted[at] = worst
    return adjusted


@pytest.mark.parametrize("unscored", Unscored)
def test_rewards_differences_and_tests_are_those_of_the_rows(arms, unscored):
    row = compared(arms, unscored=unscored).reward
    by_arm = values(arms, "reward", unscored=unscored)
    p_values = []
    for at, arm in enumerate(arms):
        own = by_arm[arm]
        assert row.means[at].mean == pytest.approx(fmean(own.values()), abs=1e-9)
        assert row.means[at].n == len(own)
        limits = wilson(sum(own.values()), len(own))
        assert [row.means[at].low, row.means[at].high] == pytest.approx(limits, abs=1e-9)
        if at == 0:
            assert row.against[at] is None
            continue
        common = sorted(by_arm[arms[0]].keys() & own.keys())
        differences = [own[example] - by_arm[arms[0]][example] for example in common]
        pair = row.against[at]
        better, worse = (sum(side * each > 0 for each in differences) for side in (1, -1))
        assert (pair.n, pair.better, pair.worse) == (len(common), better, worse)
        assert pair.mean_difference == pytest.approx(fmean(differences), abs=1e-9)
        assert pair.p == pytest.approx(mcnemar(better, worse), abs=1e-9)
        p_values.append(pair.p)
    assert row.adjusted[1:] == pytest.approx(holm(p_values), abs=1e-9)
    assert row.adjusted[0] is None


def test_other_measures_are_paired_as_well(arms):
    found = compared(arms)
    for row in found.rows[1:]:
        by_arm = values(arms, row.measure.name)
        for at, arm in enumerate(arms):
            assert row.means[at].mean == pytest.approx(fmean(by_arm[arm].values()), rel=1e-9)
            if at:
                common = sorted(by_arm[arms[0]].keys() & by_arm[arm].keys())
                differences = [by_arm[arm][example] - by_arm[arms[0]][example] for example in common]
                assert row.against[at].mean_difference == pytest.approx(fmean(differences), rel=1e-9)
                assert row.against[at].p == pytest.approx(by_flips(differences), abs=1e-9)


def test_what_has_no_reward_is_counted_by_why(arms):
    found = compared(arms)
    llm = found.tallies[0]
    assert (llm.total, llm.counted, llm.of(Outcome.TOO_LONG), llm.ended_unscored) == (12, 10, 2, 2)
    assert found.shared == 10
    assert compared(arms, unscored=Unscored.ZERO).tallies[0].counted == 12
    assert {tally.counted for tally in compared(arms, unscored=Unscored.COMMON).tallies} == {10}


def test_an_unknown_price_is_counted_and_not_a_zero(arms):
    Rollout.objects.filter(arm=arms[1], example_position__lt=5).update(cost=None)
    Rollout.objects.filter(arm=arms[2]).update(cost=None)
    row = next(row for row in compared(arms).rows if row.measure.name == "cost")
    assert row.unknown == (0, 5, 12, 0)
    assert (row.means[1].n, row.means[2], row.against[2], row.adjusted[2]) == (7, None, None, None)


def test_arms_without_common_examples_are_not_compared(arms):
    apart = make_experiment(name="apart", environments=("oolong",), scaffolds=("llm",))
    for rollout in apart.rollouts():
        end(rollout, reward=1.0)
    found = compared([arms[0], apart.arms.get().pk])
    assert found.reward.against == (None, None)
    assert found.reward.means[1].mean == 1.0
    assert found.shared == 0


def test_one_arm_and_an_arm_that_has_not_begun(queued):
    arm = queued.arms.first().pk
    found = compared([arm])
    assert (found.reward.means, found.reward.against, found.shared) == ((None,), (None,), 0)
    assert found.tallies[0].of(Outcome.UNFINISHED) == 3


def test_the_numbers_follow_the_rows(arms):
    before = compared(arms).reward.means[1].mean
    Rollout.objects.filter(arm=arms[1]).update(reward=0.25)
    assert compared(arms).reward.means[1].mean == 0.25 != before


@pytest.mark.parametrize("price", ["seconds", "cost"])
def test_the_front_is_what_no_other_arm_beats(arms, price):
    frame = load(arms, measures=[MEASURES["reward"], MEASURES[price]])
    places = front(frame, arms, price=price, unscored=Unscored.EXCLUDE)
    rewards, prices = ({arm: fmean(of.values()) for arm, of in values(arms, name).items()} for name in
                       ("reward", price))  # fmt: skip
    for arm, place in zip(arms, places, strict=True):
        beaten = any(
            rewards[other] >= rewards[arm]
            and prices[other] <= prices[arm]
            and (rewards[other] > rewards[arm] or prices[other] < prices[arm])
            for other in arms
        )
        assert place.is_on is not beaten
        assert 0 <= place.share <= 1


def test_an_arm_without_a_price_is_not_on_the_front(arms):
    Rollout.objects.filter(arm=arms[0]).update(cost=None)
    frame = load(arms, measures=[MEASURES["reward"], MEASURES["cost"]])
    places = front(frame, arms, price="cost", unscored=Unscored.EXCLUDE)
    assert (places[0].is_on, places[0].share) == (False, None)
    assert any(place.is_on for place in places[1:])


def matrix(arms, *, unscored=Unscored.EXCLUDE):
    return Matrix.of(load(arms, measures=[MEASURES["reward"]]), arms, unscored=unscored)


@pytest.mark.parametrize("unscored", Unscored)
def test_the_matrix_is_that_of_the_rows(arms, unscored):
    found = matrix(arms, unscored=unscored)
    by_arm = values(arms, "reward", unscored=unscored)
    for row in found.rows(found.examples.tolist()):
        means = [by_arm[arm].get(row.example) for arm in arms]
        assert [cell.mean for cell in row.cells] == means
        known = [mean for mean in means if mean is not None]
        expected = max(known) - min(known) if len(known) > 1 else None
        assert row.disagreement == expected
        rollouts = Rollout.objects.filter(example=row.example, arm__in=arms)
        listed = {each.rollout for cell in row.cells for each in cell.repetitions}
        assert listed == set(rollouts.values_list("pk", flat=True))
        assert row.left_out is (not known and rollouts.filter(reward__isnull=False).exists())


def test_filters_count_what_the_words_say(arms):
    """The examples under `A wins` and `B wins` are those of the paired comparison."""
    pair = compared(arms).reward.against[1]
    found = matrix(arms)
    assert int(found.shown(Show.B).sum()) == pair.better
    assert int(found.shown(Show.A).sum()) == pair.worse
    by_arm = values(arms, "reward")
    for show, is_shown in (
        (Show.DIFFER, lambda known: len(known) > 1 and max(known) > min(known)),
        (Show.WRONG, lambda known: bool(known) and max(known) == 0),
        (Show.ALL, lambda known: True),
    ):
        expected = [
            is_shown([by_arm[arm][pk] for arm in arms if pk in by_arm[arm]]) for pk in found.examples.tolist()
        ]
        assert found.shown(show).tolist() == expected
    assert int(found.shown(Show.UNSCORED).sum()) == 2


def test_rows_are_sorted_and_stay_so(arms):
    found = matrix(arms)
    spread = dict(zip(found.examples.tolist(), found.disagreement.tolist(), strict=True))
    by_spread = [spread[pk] for pk in found.ordered(sort="disagreement", show=Show.ALL).tolist()]
    assert by_spread == sorted(by_spread, reverse=True)
    numbers = [row.number for row in found.rows(found.ordered(sort="example", show=Show.ALL).tolist())]
    assert numbers == list(range(1, 13))
    for sort, reverse in ((f"-{arms[2]}", True), (str(arms[2]), False)):
        rewards = [row.cells[2].mean for row in found.rows(found.ordered(sort=sort, show=Show.ALL).tolist())]
        assert rewards == sorted(rewards, reverse=reverse)
    lacking = found.ordered(sort=f"-{arms[0]}", show=Show.ALL).tolist()[-2:]
    assert [row.cells[0].mean for row in found.rows(lacking)] == [None, None]


def test_repetitions_are_one_cell_and_one_pair():
    experiment = make_experiment(scaffolds=("llm", "rlm"), repetitions=3)
    for rollout in experiment.rollouts():
        end(rollout, reward=float((rollout.pk * 5 + rollout.repetition) % 3 == 0))
    arms = list(experiment.arms.values_list("pk", flat=True))
    by_arm = values(arms, "reward")
    found = matrix(arms)
    for row in found.rows(found.examples.tolist()):
        assert [cell.mean for cell in row.cells] == pytest.approx([by_arm[arm][row.example] for arm in arms])
        assert [[each.number for each in cell.repetitions] for cell in row.cells] == [[1, 2, 3]] * 2
    pair = compared(arms).reward.against[1]
    assert pair.n == 3
    assert compared(arms).reward.means[0].n == 9


def test_an_example_has_the_number_of_the_first_arm_that_has_it(arms):
    Rollout.objects.filter(arm=arms[3]).update(example_position=11)
    row = matrix([arms[3], arms[0]]).rows(matrix(arms).examples.tolist()[:1])[0]
    assert (row.number, row.owner, [cell.number for cell in row.cells]) == (12, 0, [12, 1])
