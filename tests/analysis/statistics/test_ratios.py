"""Reward per token, alone and relative to a baseline."""

import math

import numpy as np
import pytest
from scipy import stats

from rlm_runs.analysis.statistics import Table, ratio_interval, ratio_intervals, student_t

DRAW = np.random.default_rng(9)
REWARDS = (DRAW.random((3, 60)) < [[0.4], [0.5], [0.6]]).astype(float)
TOKENS = 1_000 * DRAW.lognormal(0, 0.7, (3, 60))


def tables(rewards=REWARDS, tokens=TOKENS):
    arms, examples = np.indices(rewards.shape).reshape(2, -1)
    return tuple(Table.of(values.ravel(), arms=arms, examples=examples) for values in (rewards, tokens))


def test_the_figures_are_quotients_of_means():
    found = ratio_intervals(*tables(), baseline=0)
    own = REWARDS.mean(axis=1) / TOKENS.mean(axis=1)
    assert [interval.mean for interval in found] == pytest.approx(own / own[0], abs=1e-12)
    alone = ratio_intervals(*tables())
    assert [interval.mean for interval in alone] == pytest.approx(own, rel=1e-12)


def test_the_baseline_is_1_by_definition():
    found = ratio_intervals(*tables(), baseline=1)[1]
    assert (found.mean, found.low, found.high) == (1.0, 1.0, 1.0)


def test_as_scipys_bca_with_the_tails_of_t():
    def relative(of_baseline, tokens_of_baseline, reward, tokens, axis):
        parts = [values.mean(axis=axis) for values in (of_baseline, tokens_of_baseline, reward, tokens)]
        return parts[2] / parts[3] / (parts[0] / parts[1])

    theirs = stats.bootstrap(
        (REWARDS[0], TOKENS[0], REWARDS[2], TOKENS[2]), relative, paired=True, vectorized=True, n_resamples=20_000,
        confidence_level=1 - 2 * stats.norm.sf(student_t(degrees=59)), rng=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    found = ratio_intervals(*tables(), baseline=0)[2]
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), rel=0.06)


def test_what_moves_together_is_surer_than_what_does_not():
    """An arm that solves the same examples for twice the tokens: the ratio is nearly certain."""
    rewards, tokens = np.stack([REWARDS[0]] * 2), np.stack([TOKENS[0], 2 * TOKENS[0] + DRAW.normal(0, 1, 60)])
    found = ratio_intervals(*tables(rewards, tokens), baseline=0)[1]
    assert found.high - found.low < 0.002
    assert found.low <= 0.5 <= found.high


def test_in_exact_proportion_no_spread_is_seen():
    found = ratio_intervals(*tables(np.stack([REWARDS[0]] * 2), np.stack([TOKENS[0], 2 * TOKENS[0]])), baseline=0)[
        1
    ]
    assert (found.mean, found.low, found.high) == (pytest.approx(0.5), None, None)


def test_only_common_examples_unless_told_otherwise():
    """The baseline's API refused the second half; it has tokens of the first alone."""
    arms, examples = np.indices((2, 60)).reshape(2, -1)
    ran = ~((arms == 0) & (examples >= 30))
    rewards, costs = (
        Table.of(values[:2].ravel()[ran], arms=arms[ran], examples=examples[ran]) for values in (REWARDS, TOKENS)
    )
    own = REWARDS[:2, :30].mean(axis=1) / TOKENS[:2, :30].mean(axis=1)
    found = ratio_intervals(rewards, costs, baseline=0)[1]
    assert (found.n, found.mean) == (30, pytest.approx(own[1] / own[0]))
    all_of_it = ratio_intervals(rewards, costs, baseline=0, common=False)[1]
    assert (all_of_it.n, all_of_it.mean) == (60, pytest.approx(REWARDS[1].mean() / TOKENS[1].mean() / own[0]))
    assert all_of_it.low < all_of_it.mean < all_of_it.high


def test_repetitions_belong_to_their_example():
    once = ratio_interval(REWARDS[0], TOKENS[0])
    thrice = ratio_interval(
        np.repeat(REWARDS[0], 3), np.repeat(TOKENS[0], 3), clusters=np.repeat(np.arange(60), 3)
    )
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high), rel=1e-4)


@pytest.mark.parametrize("count", [5, 3_000])
def test_few_and_many_by_the_delta_method(count):
    draw = np.random.default_rng(count)
    above, below = draw.random(count), draw.lognormal(size=count)
    found = ratio_interval(above, below)
    pulls = above / above.mean() - below / below.mean()
    reach = student_t(degrees=count - 1) * pulls.std(ddof=1) / math.sqrt(count)
    ratio = above.mean() / below.mean()
    assert found.method == "t on the logarithm"
    assert (found.low, found.high) == pytest.approx((ratio * math.exp(-reach), ratio * math.exp(reach)))


def test_a_mean_of_0_above_is_0_and_below_is_nothing():
    nothing = np.zeros(20)
    found = ratio_interval(nothing, TOKENS[0, :20])
    assert (found.mean, found.low, found.high) == (0.0, None, None)
    assert ratio_interval(REWARDS[0, :20], nothing) is None
    assert ratio_intervals(*tables(np.stack([nothing, nothing + 1]), TOKENS[:2, :20]), baseline=0) == [None, None]
    assert ratio_interval([], []) is None
    assert ratio_interval([1.0], [2.0]).low is None


def test_tables_of_other_arms_are_refused():
    with pytest.raises(ValueError, match="same arms"):
        ratio_intervals(tables()[0], tables(REWARDS[:2], TOKENS[:2])[1])
