"""Does a difference depend on the kind of example?"""

import numpy as np
import pytest
from scipy import stats

from rlm_runs.analysis.statistics import differ_between


def test_opposite_differences_that_cancel_out_are_found():
    differences = np.concatenate([np.full(25, 0.4), np.full(25, -0.4)]) + np.random.default_rng(1).normal(
        0, 0.3, 50
    )
    assert abs(differences.mean()) < 0.1
    assert differ_between(differences, np.repeat([0, 1], 25)) < 0.001


def test_p_is_that_of_scipys_permutation_test():
    draw = np.random.default_rng(2)
    first, second = draw.normal(0.0, 1, 20), draw.normal(0.5, 1, 30)
    theirs = stats.permutation_test(
        (first, second), lambda a, b: abs(a.mean() - b.mean()), n_resamples=20_000, alternative="greater", rng=3
    ).pvalue
    ours = differ_between(np.concatenate([first, second]), np.repeat([5, 9], [20, 30]))
    assert ours == pytest.approx(theirs, abs=0.02)


def test_it_says_yes_at_random_no_more_often_than_it_should():
    draw = np.random.default_rng(4)
    p_values = [differ_between(draw.choice([-1.0, 0, 1], 40), draw.integers(4, size=40)) for _ in range(150)]
    assert sum(p < 0.05 for p in p_values) <= stats.binom.ppf(0.999, 150, 0.05)


def test_where_nothing_can_be_told_there_is_no_p():
    assert differ_between([0.1, 0.2, 0.3], [1, 1, 1]) is None
    assert differ_between([0.1, 0.2], [1, 2]) is None
    assert differ_between(np.zeros(6), [0, 0, 0, 1, 1, 1]) == 1.0
