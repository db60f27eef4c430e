"""Two arms on their common examples, against scipy and statsmodels, and at the edges."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as their_mcnemar

from rlm_runs.analysis.statistics import (
    Table,
    compare_arms,
    compare_paired,
    compare_to,
    mcnemar,
    mean_interval,
    sign_flip,
)

DRAW = np.random.default_rng(7)
BASELINE = DRAW.random(40)
OTHER = np.clip(BASELINE + DRAW.normal(0.1, 0.3, 40), 0, 1)


def test_pairs_only_what_both_have():
    table = Table.of([0.0, 1.0, 0.5, 1.0, 1.0, 1.0], arms=[0, 0, 0, 1, 1, 1], examples=[1, 2, 3, 2, 3, 4])
    _, found = compare_to(table, baseline=0)
    assert (found.n, found.better, found.worse, found.equal, found.mean_difference) == (2, 1, 0, 1, 0.25)


def test_without_a_common_example_there_is_no_comparison():
    table = Table.of([1.0, 0.5], arms=[0, 1], examples=[1, 2])
    assert compare_to(table, baseline=0) == [None, None]
    assert compare_paired([], []) is None


@pytest.mark.parametrize(
    ("better", "worse", "p"),
    [(7, 1, 0.0703125), (4, 0, 0.125), (0, 0, 1.0), (3, 3, 1.0), (1, 9, 0.021484375), (1, 0, 1.0)],
)
def test_mcnemar_is_exact(better, worse, p):
    assert mcnemar(better=better, worse=worse) == pytest.approx(p, abs=1e-14)


@pytest.mark.parametrize(("better", "worse"), [(9, 2), (31, 14), (200, 260), (0, 12)])
def test_mcnemar_as_statsmodels(better, worse):
    theirs = their_mcnemar([[5, better], [worse, 5]], exact=True).pvalue
    assert mcnemar(better=better, worse=worse) == pytest.approx(theirs, rel=1e-9)


def test_sign_flips_of_few_are_scipys_permutations():
    differences = (OTHER - BASELINE)[:12]
    theirs = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=np.inf, vectorized=True
    )
    assert sign_flip(differences) == pytest.approx(theirs.pvalue, abs=1e-12)


def test_sign_flips_of_more_are_near_scipys():
    differences = OTHER - BASELINE
    theirs = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=50_000, vectorized=True,
        rng=np.random.default_rng(1),
    )  # fmt: skip
    assert sign_flip(differences) == pytest.approx(theirs.pvalue, abs=0.01)


def test_sign_flips_at_random_are_near_the_exact_ones():
    """Rewards in thirds, with their many ties: sixteen differences exactly, a seventeenth too small to matter."""
    differences = np.array([1, 1, 2, -1, 1, 2, 3, -2, 1, 1, -1, 2, -1, 1, 1, -3]) / 3
    assert sign_flip([*differences, 1e-9]) == pytest.approx(sign_flip(differences), abs=0.015)


def test_of_very_many_it_is_the_paired_t_test():
    differences = np.random.default_rng(2).normal(0.04, 1, 5_000)
    found = compare_paired(np.zeros(5_000), differences)
    assert found.test == "paired t"
    assert found.p == pytest.approx(stats.ttest_1samp(differences, 0).pvalue, rel=1e-9)


def test_a_sweep_of_sixteen_and_one_of_seventeen():
    assert sign_flip(np.arange(1, 17)) == 2 / 2**16
    assert sign_flip(np.arange(1, 18)) == 1 / 10_001


@pytest.mark.parametrize(
    ("baseline", "other", "test"),
    [
        ([0, 1, 1], [1, 1, 0], "exact McNemar"),
        ([0, 0.5, 1], [1, 1, 0], "exact sign-flip permutation"),
        (BASELINE, OTHER, "sign-flip permutation"),
    ],
)
def test_the_test_suits_the_values(baseline, other, test):
    assert compare_paired(baseline, other).test == test


def test_the_interval_is_that_of_the_mean_difference():
    found = compare_paired(BASELINE, OTHER)
    assert found.difference == mean_interval(OTHER - BASELINE)
    assert found.mean_difference == pytest.approx(np.mean(OTHER - BASELINE))


def test_effect_sizes_have_a_name_and_a_word():
    binary = compare_paired([0] * 9 + [1] * 2, [1] * 9 + [0] * 2)
    assert (binary.effect.name, binary.effect.value, binary.effect.size) == (
        "Cohen's g",
        pytest.approx(9 / 11 - 0.5),
        "large",
    )
    differences = OTHER - BASELINE
    graded = compare_paired(BASELINE, OTHER)
    assert graded.effect.name == "Cohen's d_z"
    assert graded.effect.value == pytest.approx(differences.mean() / differences.std(ddof=1))


def test_turned_around_everything_is_turned_around():
    for baseline, other in [(BASELINE, OTHER), (np.round(BASELINE), np.round(OTHER))]:
        there, back = compare_paired(baseline, other), compare_paired(other, baseline)
        assert (there.better, there.worse, there.mean_difference) == (
            back.worse,
            back.better,
            -back.mean_difference,
        )
        assert there.p == back.p
        assert there.effect.value == -back.effect.value
        assert there.more_examples == back.more_examples
        assert (-back.difference.high, -back.difference.low) == pytest.approx(
            (there.difference.low, there.difference.high), abs=0.003
        )


def test_the_order_of_the_examples_does_not_matter_to_the_numbers():
    order = np.random.default_rng(3).permutation(40)
    found, shuffled = compare_paired(BASELINE, OTHER), compare_paired(BASELINE[order], OTHER[order])
    assert shuffled.mean_difference == pytest.approx(found.mean_difference)
    assert shuffled.p == pytest.approx(found.p, abs=0.01)
    assert shuffled.more_examples == found.more_examples


def test_repetitions_are_averaged_by_example():
    values = [0.0, 1.0, 0.0, 1.0, 1.0, 1.0]
    table = Table.of(values, arms=[0, 0, 0, 1, 1, 1], examples=[1, 1, 2, 1, 1, 2])
    _, found = compare_to(table, baseline=0)
    assert (found.n, found.better, found.mean_difference, found.test) == (
        2,
        2,
        0.75,
        "exact sign-flip permutation",
    )


def test_means_that_differ_by_rounding_alone_are_equal():
    found = compare_paired([0.1 + 0.2, 0.7], [0.3, 0.7 + 1e-16])
    assert (found.better, found.worse, found.equal, found.p) == (0, 0, 2, 1.0)


@pytest.mark.parametrize("value", [0.0, 0.4])
def test_arms_that_never_differ(value):
    found = compare_paired([value] * 20, [value] * 20)
    assert (found.equal, found.p, found.effect, found.more_examples) == (20, 1.0, None, None)
    assert found.difference.low is None or found.difference.low < 0 < found.difference.high


def test_one_example_shows_nothing():
    found = compare_paired([0.2], [0.9])
    assert (found.n, found.better, found.p, found.difference.low, found.more_examples) == (1, 1, 1.0, None, None)


def test_a_difference_that_is_always_the_same():
    found = compare_paired(np.arange(10), np.arange(10) + 0.5)
    assert (found.difference.mean, found.difference.low, found.effect) == (0.5, None, None)
    assert found.p == 2 / 2**10


def test_enough_examples_need_no_more():
    assert compare_paired([0] * 60 + [1] * 2, [1] * 60 + [0] * 2).more_examples == 0


def test_many_pairs_at_once_are_each_pair_alone():
    draw = np.random.default_rng(4)
    arms = draw.random((12, 60)) > np.linspace(0.3, 0.6, 12)[:, None]
    arms = np.where(np.arange(12)[:, None] < 4, arms, np.round(arms + draw.random((12, 60)), 2))
    table = Table.of(arms.ravel(), arms=np.repeat(np.arange(12), 60), examples=np.tile(np.arange(60), 12))
    pairs = [(first, second) for second in range(12) for first in range(second)]
    for (first, second), found in zip(pairs, compare_arms(table, pairs=pairs), strict=True):
        alone = compare_paired(arms[first], arms[second])
        assert (found.n, found.better, found.worse, found.test, found.more_examples) == (
            *(alone.n, alone.better, alone.worse, alone.test, alone.more_examples),
        )
        assert found.p == pytest.approx(alone.p, abs=2e-4)
        assert found.difference.low == pytest.approx(alone.difference.low, abs=1e-5)


def test_a_hundred_thousand_pairs():
    draw = np.random.default_rng(5)
    baseline = (draw.random(100_000) < 0.5).astype(float)
    other = np.where(draw.random(100_000) < 0.1, 1.0, baseline)
    found = compare_paired(baseline, other)
    assert found.worse == 0
    assert found.p < 1e-300 or found.p == 0.0
    assert found.difference.low > 0.04


@pytest.mark.parametrize("other", [[1.0, 2.0], [float("nan")]])
def test_what_cannot_be_paired_is_refused(other):
    with pytest.raises(ValueError, match=r"same shape|not finite"):
        compare_paired([1.0], other)
