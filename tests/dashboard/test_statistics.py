"""Intervals and paired comparisons against values worked out elsewhere."""

import math
import random

import numpy as np
import pytest

from rlm_runs.statistics import compare_paired, mean_interval, sign_test, student_t, wilson


def test_of_nothing_there_is_no_mean():
    assert mean_interval([]) is None
    assert mean_interval([[]]) is None


def test_wilson_as_in_brown_cai_and_dasgupta():
    found = wilson(successes=7, n=50)
    assert (found.low, found.high) == pytest.approx((0.0695, 0.2619), abs=1e-4)


@pytest.mark.parametrize(("successes", "low", "high"), [(0, 0.0, 0.2775), (10, 0.7225, 1.0)])
def test_wilson_at_the_ends_says_something(successes, low, high):
    found = wilson(successes=successes, n=10)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)


def test_binary_rewards_get_wilson_and_others_t():
    assert mean_interval([[1.0], [0.0]]).method == "Wilson"
    assert mean_interval([[1.0], [0.5]]).method == "t"


@pytest.mark.parametrize(
    ("degrees", "critical"),
    [(1, 12.706205), (2, 4.302653), (3, 3.182446), (9, 2.262157), (49, 2.009575), (999, 1.962341)],
)
def test_student_t_as_tabulated(degrees, critical):
    assert student_t(degrees=degrees) == pytest.approx(critical, abs=1e-6)


def test_t_interval_is_numpys_standard_error():
    values = [0.1, 0.35, 0.5, 0.72, 0.4, 0.41]
    found = mean_interval([[value] for value in values])
    reach = 2.570582 * np.std(values, ddof=1) / math.sqrt(len(values))
    assert found.low == pytest.approx(np.mean(values) - reach, abs=1e-6)
    assert found.high == pytest.approx(np.mean(values) + reach, abs=1e-6)


def test_repetitions_of_an_example_are_not_independent():
    """Three identical repetitions say no more than one."""
    singles = mean_interval([[0.2], [0.9], [0.4], [0.6]])
    repeated = mean_interval([[0.2] * 3, [0.9] * 3, [0.4] * 3, [0.6] * 3])
    assert repeated.n == 12
    assert repeated.half_width == pytest.approx(singles.half_width)
    assert repeated.method == "t, clustered by example"


def test_an_interval_of_rewards_stays_within_rewards():
    found = mean_interval([[1.0], [1.0], [0.2]])
    assert found.high == 1.0
    assert found.half_width == pytest.approx(found.mean - found.low)


def test_one_example_has_no_interval():
    found = mean_interval([[0.5]])
    assert (found.mean, found.low, found.half_width) == (0.5, None, None)


def test_t_interval_covers_as_often_as_it_says():
    draw = random.Random(5)
    inside = 0
    for _ in range(400):
        found = mean_interval([[min(1, max(0, draw.gauss(0.5, 0.1)))] for _ in range(12)])
        inside += found.low <= 0.5 <= found.high
    assert 0.92 < inside / 400 < 0.98


@pytest.mark.parametrize(
    ("better", "worse", "p"), [(7, 1, 0.0703125), (4, 0, 0.125), (0, 0, 1.0), (3, 3, 1.0), (1, 9, 0.021484375)]
)
def test_sign_test_is_exact(better, worse, p):
    assert sign_test(better=better, worse=worse) == p


def test_pairs_only_what_both_have():
    found = compare_paired({"a": 0.0, "b": 1.0, "c": 0.5}, {"b": 1.0, "c": 1.0, "d": 1.0})
    assert (found.n, found.better, found.worse, found.equal) == (2, 1, 0, 1)
    assert found.mean_difference == 0.25
    assert compare_paired({"a": 1.0}, {"b": 1.0}) is None
