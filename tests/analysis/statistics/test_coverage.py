"""Simulated coverage of the intervals, beside intervals that fail."""

import numpy as np
import pytest
from scipy import stats

from rlm_runs.analysis.statistics import (
    Table,
    bonett_price,
    compare_arms,
    mean_intervals,
    ratio_intervals,
    rolling_mean,
    wilson,
)

TRIALS = 400


def normal(draw, n):
    return draw.normal(size=n), np.arange(n)


def exponential(draw, n):
    return draw.exponential(size=n), np.arange(n)


def partial_rewards(draw, n):
    """Oolong's numbers: many zeros, some ones, and 0.75 to the power of the error between."""
    kind = draw.random(n)
    return np.select([kind < 0.55, kind < 0.75], [0.0, 1.0], 0.75 ** draw.geometric(0.3, n)), np.arange(n)


PARTIAL_MEAN = 0.2 + 0.25 * 0.3 * 0.75 / (1 - 0.7 * 0.75)


def repeated(draw, n, *, repetitions=4):
    """0/1 rewards, four times each, of examples that are easy or hard."""
    examples = np.repeat(np.arange(n), repetitions)
    return (draw.random(n * repetitions) < draw.beta(0.5, 0.5, n)[examples]).astype(float), examples


def seldom_solved(draw, n):
    """0/1 rewards, four times each, of examples that are nearly all too hard."""
    examples = np.repeat(np.arange(n), 4)
    return (draw.random(n * 4) < draw.beta(0.2, 1.8, n)[examples]).astype(float), examples


def unevenly_repeated(draw, n):
    examples = np.repeat(np.arange(n), draw.integers(1, 6, n))
    return (draw.random(len(examples)) < draw.beta(0.5, 0.8, n)[examples]).astype(float), examples


def table_of_trials(sample, n, *, seed):
    draw = np.random.default_rng(seed)
    values, examples = zip(*(sample(draw, n) for _ in range(TRIALS)), strict=True)
    trials = np.repeat(np.arange(TRIALS), [len(of) for of in values])
    return Table.of(np.concatenate(values), examples=np.concatenate(examples), arms=trials), values


def coverage(intervals, truth):
    known = [interval for interval in intervals if interval.low is not None]
    assert len(known) > 0.97 * len(intervals)
    return np.mean([interval.low <= truth <= interval.high for interval in known])


@pytest.mark.parametrize(
    ("sample", "truth", "n", "least", "most"),
    [
        (normal, 0.0, 5, 0.93, 0.97),
        (exponential, 1.0, 10, 0.915, 0.97),
        (exponential, 1.0, 20, 0.92, 0.97),
        (exponential, 1.0, 50, 0.92, 0.975),
        (partial_rewards, PARTIAL_MEAN, 10, 0.93, 1.0),
        (partial_rewards, PARTIAL_MEAN, 50, 0.93, 0.985),
        (repeated, 0.5, 5, 0.92, 1.0),
        (repeated, 0.5, 10, 0.93, 0.995),
        (repeated, 0.5, 50, 0.93, 0.985),
        (seldom_solved, 0.1, 10, 0.93, 1.0),
        (seldom_solved, 0.1, 20, 0.915, 0.98),
        (unevenly_repeated, 0.5 / 1.3, 20, 0.93, 0.985),
    ],
)
def test_means_are_covered(sample, truth, n, least, most):
    table, _ = table_of_trials(sample, n, seed=n)
    assert least <= coverage(mean_intervals(table), truth) <= most


def test_the_percentile_interval_would_fail_this():
    """The usual bootstrap fails where the test above passes."""
    draw = np.random.default_rng(10)
    _, samples = table_of_trials(exponential, 10, seed=10)
    weights = draw.multinomial(10, np.full(10, 0.1), size=2_000) / 10
    limits = [np.quantile(weights @ sample, [0.025, 0.975]) for sample in samples]
    assert np.mean([low <= 1.0 <= high for low, high in limits]) < 0.9


def test_an_interval_that_ignores_repetitions_would_fail_this():
    table, _ = table_of_trials(repeated, 50, seed=50)
    blind = [wilson(successes=round(total), n=200) for total in table.sums.sum(axis=1)]
    assert coverage(blind, 0.5) < 0.85


@pytest.mark.parametrize("share", [0.02, 0.14, 0.5, 0.9])
@pytest.mark.parametrize("n", [10, 50])
def test_proportions_are_covered(share, n):
    """Exactly, over all outcomes: an interval of Wilson's covers 92-100 % of them."""
    outcomes = np.arange(n + 1)
    chances = stats.binom.pmf(outcomes, n, share)
    covered = [wilson(successes=int(k), n=n).low <= share <= wilson(successes=int(k), n=n).high for k in outcomes]
    assert 0.92 <= chances[covered].sum() <= 1.0


@pytest.mark.parametrize(("better", "worse"), [(0.14, 0.02), (0.3, 0.1), (0.1, 0.1), (0.5, 0.2), (0.05, 0.0)])
@pytest.mark.parametrize("n", [10, 50])
def test_differences_of_paired_proportions_are_covered(better, worse, n):
    splits = np.random.default_rng(n).multinomial(n, [better, worse, 1 - better - worse], size=2_000)
    found = [bonett_price(better=int(up), worse=int(down), n=n) for up, down, _ in splits]
    assert 0.935 <= coverage(found, better - worse) <= 1.0


def two_arms(draw, n, *, lift=0.0, repetitions=1):
    """Rewards and tokens of two arms on the same examples, hard ones being hard for both."""
    ease = draw.random(n) * (1 - lift)
    examples = np.tile(np.repeat(np.arange(n), repetitions), 2)
    arms = np.repeat([0, 1], n * repetitions)
    rewards = draw.random(len(arms)) < ease[examples] + lift * arms
    tokens = 1_000.0 * (1 + arms) * draw.lognormal(0, 0.6, len(arms)) * (2 - ease[examples])
    return rewards.astype(float), tokens, examples, arms


@pytest.mark.parametrize(("n", "repetitions"), [(10, 3), (30, 3), (50, 3), (6, 5)])
def test_paired_differences_are_covered_and_seldom_seen_where_there_are_none(n, repetitions):
    draw = np.random.default_rng(n)
    rewards, _, examples, arms = zip(
        *(two_arms(draw, n, lift=0.0, repetitions=repetitions) for _ in range(TRIALS)), strict=True
    )
    rows = np.concatenate([arm + 2 * trial for trial, arm in enumerate(arms)])
    table = Table.of(np.concatenate(rewards), examples=np.concatenate(examples), arms=rows)
    found = compare_arms(table, pairs=[(2 * trial, 2 * trial + 1) for trial in range(TRIALS)])
    assert 0.92 <= coverage([pair.difference for pair in found], 0.0) <= 0.99
    assert np.mean([pair.p < 0.05 for pair in found]) <= 0.07


@pytest.mark.parametrize(("n", "repetitions", "most"), [(8, 1, 1.0), (20, 1, 0.99), (20, 3, 0.99), (50, 1, 0.99)])
def test_relative_efficiencies_are_covered(n, repetitions, most):
    """The second arm solves 0.6 instead of 0.4 for twice the tokens."""
    draw = np.random.default_rng(n + repetitions)
    truth = 0.75  # (0.6 / 0.4) / 2
    inside = []
    for _ in range(200):
        rewards, tokens, examples, arms = two_arms(draw, n, lift=0.2, repetitions=repetitions)
        tables = [Table.of(values, examples=examples, arms=arms) for values in (rewards, tokens)]
        interval = ratio_intervals(*tables, baseline=0)[1]
        if interval is not None and interval.low is not None:
            inside.append(interval.low <= truth and (interval.high is None or truth <= interval.high))
    assert 0.92 <= np.mean(inside) <= most


def test_a_rolling_band_covers_the_line():
    draw = np.random.default_rng(3)
    inside = []
    for _ in range(100):
        x = np.sort(draw.random(200))
        found = rolling_mean(x, 2 * x + draw.normal(0, 1, 200), window=25, at_most=20)
        inside.append((found.low <= 2 * found.x) & (2 * found.x <= found.high))
    assert 0.93 <= np.mean(inside) <= 0.97
