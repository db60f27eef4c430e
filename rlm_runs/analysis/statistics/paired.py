"""Two arms on their common examples: the difference, its certainty, and the sample size that would show it.

Repetitions are averaged first, so that an example is one pair. The method depends on the pairs:

- **0 or 1 on both sides**: exact McNemar test, which uses only the split of the examples on which the arms
  differ. The interval of the difference is Bonett and Price's, which keeps its coverage if few examples, or none,
  differ.
- **anything else**: a sign-flip permutation test of the mean difference (under the null hypothesis, each
  difference could as well have the other sign). It is exact up to 16 examples that differ, uses 10,000 random
  flips (the same at each call) up to 2,048 examples, and its limit, Student's t, beyond. It is preferred to
  Wilcoxon's test because it tests the mean difference, which the page shows, and needs no rule for ties, which
  are frequent among rewards. The interval is that of a mean (`mean_interval`).

Test and interval are different methods, so close to p = 0.05 they may disagree. The p-value decides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from .by_example import Table
from .intervals import Interval, mean_intervals
from .planning import examples_for_binary, examples_for_means
from .resampling import MOST_RESAMPLED, RESAMPLES, Floats, batches

MCNEMAR = "exact McNemar"
EXACT_FLIPS = "exact sign-flip permutation"
RANDOM_FLIPS = "sign-flip permutation"
PAIRED_T = "paired t"

_MOST_EXACT = 16
_BLOCK = 256
_SEED = 20_260_102


@dataclass(frozen=True)
class Effect:
    """The size of a difference, independent of its certainty. `size` is Cohen's word for values of this size."""

    name: str
    value: float
    size: str


@dataclass(frozen=True)
class Paired:
    """Two arms on their common examples: on how many B is better and worse, and by how much.

    `difference` is the mean difference with its interval. `test` names the test behind `p`, which is two-sided.
    `effect` is None if it is undefined (no example differs, or all differ equally). `more_examples` is the number
    of additional examples with which a difference of this size shows at p < 0.05 with 80 % power: 0 if there are
    enough, None without a difference, or with too little data to estimate its spread. `deviation` is the standard
    deviation of the differences, 0 for a single one.
    """

    n: int
    better: int
    worse: int
    difference: Interval
    p: float
    test: str
    effect: Effect | None
    more_examples: int | None
    deviation: float

    @property
    def equal(self) -> int:
        """Examples on which neither arm is better."""
        return self.n - self.better - self.worse

    @property
    def mean_difference(self) -> float:
        """B's mean over the common examples minus A's."""
        return self.difference.mean


def compare_paired(baseline: ArrayLike, other: ArrayLike, *, confidence: float = 0.95) -> Paired | None:
    """Returns the comparison of `other` with `baseline` by example, [examples] each; None without examples.

    Raises ValueError for arrays of unequal length, and for NaN.
    """
    pair = np.stack([np.asarray(values, dtype=np.float64) for values in (baseline, other)])
    width = pair.shape[1]
    table = Table.of(
        pair.ravel(), examples=np.tile(np.arange(width), 2), arms=np.repeat([0, 1], width), arm_ids=[0, 1]
    )
    return compare_arms(table, pairs=[(0, 1)], confidence=confidence)[0]


def compare_to(table: Table, *, baseline: int, confidence: float = 0.95) -> list[Paired | None]:
    """Returns the comparison of every row with the row `baseline`; None for that row, and without common
    examples.
    """
    rows = [row for row in range(len(table.arms)) if row != baseline]
    found = compare_arms(table, pairs=[(baseline, row) for row in rows], confidence=confidence)
    by_row = dict(zip(rows, found, strict=True))
    return [by_row.get(row) for row in range(len(table.arms))]


def compare_arms(
    table: Table, *, pairs: Sequence[tuple[int, int]], confidence: float = 0.95
) -> list[Paired | None]:
    """Returns the comparison of B with A on their common examples, for each pair of rows (A, B); None without any.

    All pairs are resampled and flipped together: 66 pairs of 500 examples take about as long as one.
    """
    means = table.example_means
    samples = [_Sample.of(means[first], means[second]) for first, second in pairs]
    to_test = [sample for sample in samples if not sample.is_binary]
    intervals = iter(_mean_intervals([sample.differences for sample in to_test], confidence=confidence))
    p_values = iter(_sign_flips([sample.differences for sample in to_test]))
    return [
        _of_binary(sample, confidence=confidence)
        if sample.is_binary
        else _of_means(sample, difference=next(intervals), p=next(p_values))
        for sample in samples
    ]


def mcnemar(*, better: int, worse: int) -> float:
    """Returns the two-sided p-value of McNemar's exact test.

    It is the probability that chance alone splits the differing examples at least as unevenly.
    """
    return (
        float(min(1.0, 2 * scipy.special.bdtr(min(better, worse), better + worse, 0.5))) if better + worse else 1.0
    )


def sign_flip(differences: ArrayLike) -> float:
    """Returns the two-sided p-value of the sign-flip permutation test of a mean difference of 0: [examples]."""
    return _sign_flips([np.asarray(differences, dtype=np.float64)])[0]


def bonett_price(*, better: int, worse: int, n: int, confidence: float = 0.95) -> Interval:
    """Returns the difference of two paired proportions, (better − worse) / n, with Bonett and Price's interval."""
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    up, down = (better + 1) / (n + 2), (worse + 1) / (n + 2)
    reach = z * math.sqrt((up + down - (up - down) ** 2) / (n + 2))
    low, high = max(up - down - reach, -1.0), min(up - down + reach, 1.0)
    return Interval(mean=(better - worse) / n, n=n, low=low, high=high, method="Bonett-Price")


@dataclass(frozen=True, eq=False)
class _Sample:
    """The differences of one pair of arms on their common examples: [common examples]."""

    differences: Floats
    is_binary: bool

    @classmethod
    def of(cls, first: Floats, second: Floats) -> _Sample:
        """Returns the sample. Differences within rounding are exactly 0."""
        common = ~np.isnan(first) & ~np.isnan(second)
        pair = np.stack([first[common], second[common]])
        differences = pair[1] - pair[0]
        differences[np.abs(differences) <= 1e-12 * np.abs(pair).max(axis=0, initial=0.0)] = 0.0
        return cls(differences=differences, is_binary=bool(((pair == 0) | (pair == 1)).all()))

    @property
    def n(self) -> int:
        return len(self.differences)

    @property
    def deviation(self) -> float:
        return float(np.std(self.differences, ddof=1)) if self.n > 1 else 0.0

    @property
    def better(self) -> int:
        return int(np.count_nonzero(self.differences > 0))

    @property
    def worse(self) -> int:
        return int(np.count_nonzero(self.differences < 0))


def _of_binary(sample: _Sample, *, confidence: float) -> Paired | None:
    n, better, worse = sample.n, sample.better, sample.worse
    if not n:
        return None
    effect = better / (better + worse) - 0.5 if better + worse else None
    return Paired(
        n=n,
        better=better,
        worse=worse,
        difference=bonett_price(better=better, worse=worse, n=n, confidence=confidence),
        p=mcnemar(better=better, worse=worse),
        test=MCNEMAR,
        effect=None if effect is None else Effect("Cohen's g", effect, _size(effect, steps=(0.05, 0.15, 0.25))),
        more_examples=_examples_missing(examples_for_binary(better=better / n, worse=worse / n), n=n),
        deviation=sample.deviation,
    )


def _of_means(sample: _Sample, *, difference: Interval | None, p: float) -> Paired | None:
    if difference is None:
        return None
    deviation = sample.deviation
    effect = difference.mean / deviation if deviation > 1e-12 * abs(difference.mean) else None
    differing = sample.better + sample.worse
    return Paired(
        n=sample.n,
        better=sample.better,
        worse=sample.worse,
        difference=difference,
        p=p,
        test=EXACT_FLIPS
        if differing <= _MOST_EXACT
        else RANDOM_FLIPS
        if differing <= MOST_RESAMPLED
        else PAIRED_T,
        effect=None if effect is None else Effect("Cohen's d_z", effect, _size(effect, steps=(0.2, 0.5, 0.8))),
        more_examples=None if effect is None else _examples_missing(examples_for_means(effect=effect), n=sample.n),
        deviation=deviation,
    )


def _examples_missing(needed: int | None, *, n: int) -> int | None:
    return None if needed is None else max(needed - n, 0)


def _size(value: float, *, steps: tuple[float, float, float]) -> str:
    """Returns Cohen's word for a standardised effect."""
    words = ("negligible", "small", "medium", "large")
    return words[sum(abs(value) >= step for step in steps)]


def _mean_intervals(samples: list[Floats], *, confidence: float) -> list[Interval | None]:
    """Returns the mean of each sample with its interval; None for an empty sample."""
    lengths = [len(sample) for sample in samples]
    examples = [np.arange(length) for length in lengths]
    table = Table.of(
        np.concatenate([*samples, []]),
        examples=np.concatenate([*examples, []]),
        arms=np.repeat(np.arange(len(samples)), lengths),
        arm_ids=np.arange(len(samples)),
    )
    return mean_intervals(table, confidence=confidence, proportion=False)


def _sign_flips(samples: list[Floats]) -> list[float]:
    """Returns the p-value of each sample. Random flips are made for all samples together. Equal examples do not
    count.
    """
    differing = [sample[sample != 0] for sample in samples]
    p_values = [
        _exact_flips(found) if len(found) <= _MOST_EXACT else _paired_t(sample)
        for sample, found in zip(samples, differing, strict=True)
    ]
    at_random = [place for place, found in enumerate(differing) if _MOST_EXACT < len(found) <= MOST_RESAMPLED]
    for places in batches(at_random):
        for place, p in zip(places, _random_flips([differing[place] for place in places]), strict=True):
            p_values[place] = p
    return p_values


def _exact_flips(differences: Floats) -> float:
    """Returns p over all 2ⁿ patterns of signs, half of which mirror the other half."""
    if not len(differences):
        return 1.0
    sums = differences[:1]
    for difference in differences[1:]:
        sums = np.concatenate([sums + difference, sums - difference])
    tolerance = 1e-9 * float(np.abs(differences).sum())
    return float(np.mean(np.abs(sums) >= abs(differences.sum()) - tolerance))


def _random_flips(samples: list[Floats]) -> list[float]:
    """Returns the Monte Carlo p-value. The observed pattern counts among the others, so that p is never 0."""
    columns = np.zeros((len(samples), max(map(len, samples))), dtype=np.float32)
    for row, sample in enumerate(samples):
        columns[row, : len(sample)] = sample / np.abs(sample).max()
    sums = np.zeros((len(samples), RESAMPLES), dtype=np.float32)
    for start in range(0, columns.shape[1], _BLOCK):
        part = columns[:, start : start + _BLOCK]
        sums += part @ _signs(start // _BLOCK)[: part.shape[1]].astype(np.float32)
    seen = np.abs(columns.sum(axis=1, keepdims=True))
    as_far = np.count_nonzero(np.abs(sums) >= seen - 1e-5 * columns.shape[1] ** 0.5, axis=1)
    return [float(p) for p in (as_far + 1) / (RESAMPLES + 1)]


@lru_cache(maxsize=MOST_RESAMPLED // _BLOCK)
def _signs(block: int) -> NDArray[np.int8]:
    """Returns +1 or −1 for 256 examples: [256, RESAMPLES]. All blocks together take 20 MB."""
    bits = np.random.default_rng([_SEED, block]).integers(2, size=(_BLOCK, RESAMPLES), dtype=np.int8)
    signs: NDArray[np.int8] = 2 * bits - 1
    signs.flags.writeable = False
    return signs


def _paired_t(differences: Floats) -> float:
    n = len(differences)
    error = float(np.std(differences, ddof=1)) / math.sqrt(n)
    return float(2 * scipy.special.stdtr(n - 1, -abs(differences.mean()) / error)) if error else 0.0
