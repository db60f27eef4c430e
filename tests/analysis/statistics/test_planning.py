"""How many examples it takes, against statsmodels and by simulation."""

import math

import numpy as np
import pytest
from statsmodels.stats.power import TTestPower

from rlm_runs.analysis.statistics import examples_for_binary, examples_for_means, mcnemar


@pytest.mark.parametrize("effect", [0.03, 0.05, 0.2, -0.47, 0.8, 1.5])
def test_means_as_statsmodels(effect):
    theirs = TTestPower().solve_power(effect_size=abs(effect), power=0.8, alpha=0.05)
    assert examples_for_means(effect=effect) == math.ceil(theirs)


def test_a_tiny_effect_is_answered_at_once():
    assert examples_for_means(effect=1e-4) == pytest.approx((2.8016 / 1e-4) ** 2, rel=1e-3)


@pytest.mark.parametrize(("better", "worse"), [(0.14, 0.02), (0.3, 0.1), (0.5, 0.2), (0.9, 0.1), (0.08, 0.0)])
def test_so_many_pairs_show_the_difference_four_times_in_five(better, worse):
    count = examples_for_binary(better=better, worse=worse)
    splits = np.random.default_rng(1).multinomial(count, [better, worse, max(1 - better - worse, 0)], size=1_000)
    shown = np.mean([mcnemar(better=int(up), worse=int(down)) < 0.05 for up, down, _ in splits])
    assert 0.77 < shown < 0.95


def test_a_sweep_needs_as_many_as_could_not_be_chance():
    assert examples_for_binary(better=1.0, worse=0.0) == 6
    assert examples_for_means(effect=50.0) == 6


def test_better_and_worse_are_alike():
    assert examples_for_binary(better=0.1, worse=0.3) == examples_for_binary(better=0.3, worse=0.1)


def test_no_number_shows_what_is_not_there():
    assert examples_for_binary(better=0.1, worse=0.1) is None
    assert examples_for_means(effect=0.0) is None
