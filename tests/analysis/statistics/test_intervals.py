"""The mean of one arm: choice of method, reference values, and edge cases."""

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.api import OLS
from statsmodels.stats.proportion import proportion_confint

from rlm_runs.analysis.statistics import Table, mean_interval, mean_intervals, student_t, wilson

SKEWED = np.random.default_rng(4).exponential(size=40)


def test_of_nothing_there_is_no_mean():
    assert mean_interval([]) is None
    assert mean_interval([], clusters=[]) is None


def test_wilson_as_in_brown_cai_and_dasgupta():
    found = wilson(successes=7, n=50)
    assert (found.low, found.high) == pytest.approx((0.0695, 0.2619), abs=1e-4)


@pytest.mark.parametrize(
    ("successes", "n"), [(0, 1), (1, 1), (0, 10), (3, 10), (10, 10), (7, 50), (40_123, 100_000)]
)
def test_wilson_as_statsmodels(successes, n):
    found = wilson(successes=successes, n=n)
    assert (found.low, found.high) == pytest.approx(proportion_confint(successes, n, method="wilson"), abs=1e-12)


@pytest.mark.parametrize(
    ("degrees", "critical"),
    [(1, 12.706205), (2, 4.302653), (3, 3.182446), (9, 2.262157), (49, 2.009575), (999, 1.962341)],
)
def test_student_t_as_tabulated(degrees, critical):
    assert student_t(degrees=degrees) == pytest.approx(critical, abs=1e-6)


@pytest.mark.parametrize(
    ("values", "clusters", "method"),
    [
        ([1.0, 0.0], None, "Wilson"),
        ([1.0, 1.0, 1.0], None, "Wilson"),
        ([1.0, 0.5], None, "t"),
        ([1.0, 0.0, 1.0, 1.0], [1, 1, 2, 2], "t, clustered by example"),
        ([1.0, 1.0, 1.0, 1.0], [1, 1, 2, 2], "Wilson, on examples"),
        ([0.5, 0.5, 0.5], None, "all examples are equal: no interval"),
        ([0.5], None, "one example: no interval"),
        ([0.0, 1.0], [7, 7], "one example: no interval"),
        (SKEWED[:6], None, "t"),
        (SKEWED[:7], None, "BCa bootstrap"),
        (np.repeat(SKEWED, 2), np.repeat(np.arange(40), 2), "BCa bootstrap, clustered by example"),
        (np.arange(2_048) % 7, None, "BCa bootstrap"),
        (np.arange(2_049) % 7, None, "t"),
    ],
)
def test_the_method_suits_the_values(values, clusters, method):
    assert mean_interval(values, clusters=clusters).method == method


def test_counts_that_happen_to_be_0_and_1_are_no_proportion():
    assert mean_interval([0.0] * 50, proportion=False).low is None
    assert mean_interval([0.0] * 40 + [1.0] * 10, proportion=False).method == "BCa bootstrap"


def test_one_example_has_no_interval():
    found = mean_interval([0.5, 0.7], clusters=[3, 3])
    assert (found.mean, found.n, found.low, found.half_width) == (pytest.approx(0.6), 2, None, None)


@pytest.mark.parametrize("value", [0.1, 1 / 3, 123_456.789, -0.7])
def test_equal_values_are_no_certainty(value):
    """This holds where rounding shifts the mean."""
    found = mean_interval([value] * 30)
    assert (found.mean, found.low, found.high) == (pytest.approx(value), None, None)


def test_examples_that_are_equal_in_the_mean_show_no_spread_either():
    assert mean_interval([0.0, 1.0] * 20, clusters=np.repeat(np.arange(20), 2)).low is None


def test_repetitions_that_all_agree_count_once():
    found = mean_interval([1.0] * 30, clusters=np.repeat(np.arange(10), 3))
    of_examples = wilson(successes=10, n=10)
    assert (found.mean, found.n, found.low, found.high) == (1.0, 30, of_examples.low, of_examples.high)


def test_repetitions_of_an_example_are_not_independent():
    """Three identical repetitions carry no more information than one."""
    few, many = SKEWED[:5], SKEWED
    for values in (few, many):
        once = mean_interval(values)
        thrice = mean_interval(np.repeat(values, 3), clusters=np.repeat(np.arange(len(values)), 3))
        assert thrice.n == 3 * len(values)
        assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high), rel=1e-5)


def test_t_of_few_is_scipys():
    values = [0.1, 0.35, 0.5, 0.72, 0.4]
    found = mean_interval(values)
    theirs = stats.ttest_1samp(values, 0).confidence_interval()
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_t_of_many_is_statsmodels_cluster_robust_error():
    draw = np.random.default_rng(1)
    clusters = draw.integers(0, 4_000, size=12_000)
    values = draw.normal(size=4_000)[clusters] + draw.normal(size=12_000)
    found = mean_interval(values, clusters=clusters)
    count = len(np.unique(clusters))
    robust = OLS(values, np.ones(12_000)).fit(
        cov_type="cluster", cov_kwds={"groups": clusters, "use_correction": False}
    )
    error = robust.bse[0] * math.sqrt(count / (count - 1))
    assert found.mean == pytest.approx(robust.params[0], abs=1e-12)
    assert found.half_width == pytest.approx(student_t(degrees=count - 1) * error, rel=1e-9)


def test_bootstrap_is_scipys_bca_with_the_tails_of_t():
    """scipy's BCa with the confidence that expands its tails; both draw at random, so to some percent."""
    reach = student_t(degrees=39)
    theirs = stats.bootstrap(
        (SKEWED,),
        np.mean,
        n_resamples=20_000,
        confidence_level=1 - 2 * stats.norm.sf(reach),
        method="BCa",
        rng=np.random.default_rng(2),
    ).confidence_interval
    found = mean_interval(SKEWED)
    width = theirs.high - theirs.low
    assert found.low == pytest.approx(theirs.low, abs=0.05 * width)
    assert found.high == pytest.approx(theirs.high, abs=0.05 * width)


def test_the_longer_side_of_a_skewed_mean_is_that_of_its_tail():
    found = mean_interval(SKEWED)
    assert found.high - found.mean > 1.1 * (found.mean - found.low)
    assert found.half_width == found.high - found.mean


def test_large_values_keep_their_digits():
    """Single precision inside does not show: a million tokens with a spread of one."""
    small, large = mean_interval(SKEWED), mean_interval(SKEWED + 1e9)
    assert (large.low - 1e9, large.high - 1e9) == pytest.approx((small.low, small.high), abs=1e-5)


def test_scaling_scales_and_mirroring_mirrors():
    found, scaled, mirrored = mean_interval(SKEWED), mean_interval(SKEWED * 1e6), mean_interval(-SKEWED)
    assert (scaled.low, scaled.high) == pytest.approx((found.low * 1e6, found.high * 1e6), rel=1e-6)
    assert (-mirrored.high, -mirrored.low) == pytest.approx((found.low, found.high), rel=1e-3)


def test_the_order_of_the_values_does_not_matter():
    clusters = np.repeat(np.arange(20), 2)
    order = np.random.default_rng(3).permutation(40)
    found = mean_interval(SKEWED, clusters=clusters)
    shuffled = mean_interval(SKEWED[order], clusters=clusters[order])
    assert (shuffled.low, shuffled.high) == pytest.approx((found.low, found.high), rel=1e-6)


def test_each_load_shows_the_same_numbers():
    assert mean_interval(SKEWED) == mean_interval(SKEWED.copy())


def test_limits_keep_within_the_values_and_the_bounds_told():
    nearly_all = [1.0] * 27 + [0.9, 0.2, 0.0]
    assert 0.0 <= mean_interval(nearly_all).low <= mean_interval(nearly_all).high <= 1.0
    assert mean_interval([1.0, 1.0, 0.2]).high > 1.0
    assert mean_interval([1.0, 1.0, 0.2], bounds=(0.0, 1.0)).high == 1.0


def test_more_confidence_is_wider():
    widths = [mean_interval(SKEWED, confidence=confidence).half_width for confidence in (0.8, 0.9, 0.95, 0.99)]
    assert widths == sorted(widths)
    assert len(set(widths)) == 4


def test_many_arms_at_once_are_each_arm_alone():
    """An arm's interval does not depend on other arms; more arms than a batch holds."""
    draw = np.random.default_rng(5)
    arms = np.repeat(np.arange(70), 60)
    examples = np.tile(np.repeat(np.arange(30), 2), 70)
    kept = draw.random(len(arms)) < np.linspace(0.02, 1, 70)[arms]
    values = draw.exponential(size=len(arms))
    table = Table.of(values[kept], examples=examples[kept], arms=arms[kept], arm_ids=np.arange(70))
    for arm, found in enumerate(mean_intervals(table)):
        own = kept & (arms == arm)
        alone = mean_interval(values[own], clusters=examples[own])
        if alone is None or alone.low is None:
            assert found == alone
        else:
            assert (found.n, found.method) == (alone.n, alone.method)
            assert (found.low, found.mean, found.high) == pytest.approx(
                (alone.low, alone.mean, alone.high), rel=1e-5
            )


def test_a_hundred_thousand_values_are_no_burden():
    values = np.random.default_rng(6).random(100_000)
    found = mean_interval(values, clusters=np.arange(100_000) // 2)
    assert found.half_width == pytest.approx(1.96 * math.sqrt(1 / 12 / 100_000), rel=0.02)


def test_what_has_no_value_is_to_be_left_out():
    with pytest.raises(ValueError, match="not finite"):
        mean_interval([0.5, math.nan])
