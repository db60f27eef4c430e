"""The speed of a page's statistics, each figure beside a peer on the same data in the same run.

    python -m bench.statistics [--json] [--quick]

The peers are scipy.stats.bootstrap with the same number of resamples, once per arm, and plain numpy loops over
arms. Every figure is the median of alternating rounds. Drawing the weights, which a new process does for its first
page, is a separate figure.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bench.report import Figure, show
from rlm_runs.analysis.statistics import (
    RESAMPLES,
    Table,
    binned,
    compare_arms,
    compare_to,
    front_shares,
    holm,
    mean_interval,
    mean_intervals,
    ratio_intervals,
    resampling,
    rolling_mean,
)
from rlm_runs.analysis.statistics import paired as paired_module

ARMS, EXAMPLES = 12, 500
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Page:
    """Graded rewards and tokens of twelve arms on five hundred examples: [arms, examples]."""

    rewards: Floats
    tokens: Floats

    @classmethod
    def drawn(cls) -> Page:
        draw = np.random.default_rng(1)
        ease = draw.random(EXAMPLES)
        rewards = np.clip(ease + draw.normal(np.linspace(-0.1, 0.1, ARMS)[:, None], 0.3, (ARMS, EXAMPLES)), 0, 1)
        return cls(rewards, draw.lognormal(10, 1, (ARMS, EXAMPLES)))

    @staticmethod
    def table(values: Floats, *, repetitions: int = 1) -> Table:
        arms, examples = np.indices(values.shape).reshape(2, -1).repeat(repetitions, axis=1)
        return Table.of(values.ravel().repeat(repetitions), arms=arms, examples=examples)


def compare_page(page: Page) -> None:
    """Computes a page of comparisons: means, all arms against the first, efficiencies, and shares on the Pareto
    front.
    """
    rewards, tokens = page.table(page.rewards), page.table(page.tokens)
    mean_intervals(rewards, bounds=(0.0, 1.0))
    mean_intervals(tokens)
    pairs = compare_to(rewards, baseline=0)
    holm([np.nan if pair is None else pair.p for pair in pairs])
    ratio_intervals(rewards, tokens, baseline=0)
    front_shares(tokens, rewards)


def scipy_page(page: Page) -> None:
    """Computes the same means, differences and efficiencies by scipy.stats.bootstrap, tests by its
    permutation_test.
    """
    draw = np.random.default_rng(2)

    def efficiency(r0: Floats, t0: Floats, r1: Floats, t1: Floats, axis: int) -> Floats:
        quotient: Floats = r1.mean(axis) / t1.mean(axis) / (r0.mean(axis) / t0.mean(axis))
        return quotient

    for arm in range(ARMS):
        bootstrap((page.rewards[arm],), np.mean, draw)
        bootstrap((page.tokens[arm],), np.mean, draw)
        if arm:
            differences = page.rewards[arm] - page.rewards[0]
            bootstrap((differences,), np.mean, draw)
            permutation_test(differences, draw)
            bootstrap((page.rewards[0], page.tokens[0], page.rewards[arm], page.tokens[arm]), efficiency, draw)


def bootstrap(data: tuple[Floats, ...], statistic: Callable[..., object], draw: np.random.Generator) -> None:
    stats.bootstrap(
        data, statistic, n_resamples=RESAMPLES, batch=1_000, paired=len(data) > 1, vectorized=True, rng=draw
    )


def permutation_test(differences: Floats, draw: np.random.Generator) -> None:
    stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=RESAMPLES, batch=1_000,
        vectorized=True, rng=draw,
    )  # fmt: skip


def numpy_means(values: Floats) -> None:
    """Computes percentiles of resampled means, arm by arm."""
    draw = np.random.default_rng(3)
    for of_arm in values:
        drawn = draw.integers(len(of_arm), size=(RESAMPLES, len(of_arm)))
        np.percentile(of_arm[drawn].mean(axis=1), [2.5, 97.5])


def numpy_flips(values: Floats, pairs: list[tuple[int, int]]) -> None:
    """Computes random sign flips, pair by pair."""
    draw = np.random.default_rng(4)
    for first, second in pairs:
        differences = values[second] - values[first]
        signs = draw.choice([-1.0, 1.0], size=(RESAMPLES, len(differences)))
        np.mean(np.abs(signs @ differences) >= abs(differences.sum()))


def pages(page: Page, *, rounds: int) -> Iterator[Figure]:
    """Yields the whole page, cold and warm, compared with scipy's. The first visitor of a process gets a
    cold one.
    """

    def cold() -> None:
        resampling._weights.cache_clear()
        paired_module._signs.cache_clear()
        compare_page(page)

    first = statistics.median(timed(cold) for _ in range(rounds))
    ours, peer = in_turn(lambda: compare_page(page), lambda: scipy_page(page), rounds=rounds, peer_rounds=1)
    yield Figure("page of 12 arms × 500, warm", ours, "ms", "scipy, BCa", peer)
    yield Figure("page of 12 arms × 500, first", first * 1_000, "ms", "scipy, BCa", peer)


def parts(page: Page, *, rounds: int) -> Iterator[Figure]:
    rewards = page.table(page.rewards)
    repeated = page.table(page.rewards, repetitions=4)
    pairs = list(combinations(range(ARMS), 2))
    ours, peer = in_turn(
        lambda: mean_intervals(rewards), lambda: numpy_means(page.rewards), rounds=rounds, peer_rounds=2
    )
    yield Figure("12 means", ours, "ms", "numpy, percentile", peer)
    ours = median_ms(lambda: mean_intervals(repeated), rounds=rounds)
    yield Figure("12 means, 4 repetitions", ours, "ms", "numpy, percentile", peer)
    ours, peer = in_turn(
        lambda: compare_arms(rewards, pairs=pairs), lambda: numpy_flips(page.rewards, pairs), rounds=rounds,
        peer_rounds=1,
    )  # fmt: skip
    yield Figure("66 pairs, test and interval", ours, "ms", "numpy, test alone", peer)


def many_values(*, rounds: int) -> Iterator[Figure]:
    """Yields a hundred thousand rollouts, four of each example, compared with one pass of numpy over them."""
    draw = np.random.default_rng(5)
    lengths, rewards = draw.lognormal(12, 1, 100_000), draw.random(100_000)
    examples = np.arange(100_000) // 4

    def floor() -> None:
        order = np.argsort(lengths)
        np.add.reduceat(rewards[order], np.arange(0, 100_000, 5_000))

    ours, peer = in_turn(
        lambda: mean_interval(rewards, clusters=examples), floor, rounds=rounds, peer_rounds=rounds
    )
    yield Figure("mean of 100k values", ours, "ms", "numpy, sort and sum", peer)
    ours = median_ms(lambda: binned(lengths, rewards, bins=20, clusters=examples), rounds=rounds)
    yield Figure("20 bins of 100k values", ours, "ms", "numpy, sort and sum", peer)
    ours = median_ms(lambda: rolling_mean(lengths, rewards, window=1_000), rounds=rounds)
    yield Figure("rolling mean of 100k values", ours, "ms", "numpy, sort and sum", peer)


def in_turn(
    ours: Callable[[], object], peer: Callable[[], object], *, rounds: int, peer_rounds: int
) -> tuple[float, float]:
    """Returns medians in ms of alternating rounds, so that other load on the machine affects both equally."""
    ours()
    own, others = [], []
    for round_ in range(rounds):
        own.append(timed(ours))
        if round_ < peer_rounds:
            others.append(timed(peer))
    return statistics.median(own) * 1_000, statistics.median(others) * 1_000


def median_ms(work: Callable[[], object], *, rounds: int) -> float:
    return statistics.median(timed(work) for _ in range(rounds)) * 1_000


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    options = parser.parse_args()
    page, rounds = Page.drawn(), 3 if options.quick else 15
    for figures in (pages(page, rounds=rounds), parts(page, rounds=rounds), many_values(rounds=rounds)):
        for figure in figures:
            show(figure, as_json=options.json)


if __name__ == "__main__":
    main()
