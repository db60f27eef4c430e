"""The mean of one arm: which method when, against values worked out elsewhere, and at the edges."""


import pytest
from statsmodels.stats.proportion import proportion_confint

from rlm_runs.statistics import mean_interval, student_t, wilson


def test_of_nothing_there_is_no_mean():
    assert mean_interval([]) is None


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
