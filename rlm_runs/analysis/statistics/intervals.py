"""Confidence intervals of means: Wilson (1927) for 0/1 values, else a bootstrap over examples, or Student's t for
few or very many examples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from .by_example import Table
from .resampling import (
    FEWEST_RESAMPLED,
    MOST_RESAMPLED,
    Floats,
    batches,
    bca_limits,
    divided,
    resampled_sums,
    student_t,
)

Bounds = tuple[float, float]
ONE_EXAMPLE = "one example: no interval"
ALL_EQUAL = "all examples are equal: no interval"


@dataclass(frozen=True)
class Interval:
    """A mean, or a figure made of means, with its confidence interval.

    `n` counts the values. `low` and `high` are both None if the values show no spread; for a ratio, `high` alone
    is None if there is no upper limit. `method` names the method as text, or the reason for a missing interval.
    """

    mean: float
    n: int
    low: float | None
    high: float | None
    method: str

    @property
    def half_width(self) -> float | None:
        """The longer side of the interval, to be shown after a ±; None without an interval."""
        if self.low is None or self.high is None:
            return None
        return max(self.mean - self.low, self.high - self.mean)


def wilson(*, successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Returns Wilson's score interval of a proportion."""
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low = 0.0 if successes == 0 else centre - reach
    high = 1.0 if successes == n else centre + reach
    return Interval(mean=share, n=n, low=low, high=high, method="Wilson")


def mean_interval(
    values: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    confidence: float = 0.95,
    bounds: Bounds | None = None,
    proportion: bool = True,
) -> Interval | None:
    """Returns the mean over all values with its interval; None without values.

    `values`: [values]. `clusters`: the example of each value, because repetitions of an example are not
    independent; None gives each value its own example. The methods are:

    - 0/1 values, one per example: Wilson. `proportion=False` declares them counts that happen to be 0 and 1.
    - 7 to 2,048 examples: expanded BCa bootstrap over examples (see `resampling`), the same at each call.
    - fewer or more: Student's t with the linearised variance over examples.
    - all examples equal: no spread was observed, which does not mean that there is none. If all are 0, or all are
      1, the interval is Wilson's for as many successes as there are examples: repetitions that always agree may be
      copies, so they count once. For other values, `low` and `high` are None.

    Limits of t are clipped to `bounds` if given; those of the other methods stay within the range of the values.
    """
    data = np.asarray(values, dtype=np.float64)
    of_example = np.arange(len(data)) if clusters is None else clusters
    table = Table.of(data, examples=of_example, arm_ids=[0])
    return mean_intervals(table, confidence=confidence, bounds=bounds, proportion=proportion)[0]


def mean_intervals(
    table: Table, *, confidence: float = 0.95, bounds: Bounds | None = None, proportion: bool = True
) -> list[Interval | None]:
    """Returns `mean_interval` of each row of the table, all resampled together; None for a row without values."""
    samples = [_Sample.of(table, row) for row in range(len(table.arms))]
    found = [_closed_form(sample, confidence=confidence, proportion=proportion) for sample in samples]
    open_rows = [row for row, sample in enumerate(samples) if sample.count and found[row] is None]
    for rows in batches(open_rows):
        intervals = _bootstrap([samples[row] for row in rows], confidence=confidence)
        for row, interval in zip(rows, intervals, strict=True):
            found[row] = interval
    return [interval and _within(interval, bounds) for interval in found]


@dataclass(frozen=True, eq=False)
class _Sample:
    """One arm: the sums and counts of its own examples."""

    sums: Floats
    counts: Floats
    zero_one: bool

    @classmethod
    def of(cls, table: Table, row: int) -> _Sample:
        present = table.present[row]
        return cls(table.sums[row, present], table.counts[row, present], bool(table.zero_one[row]))

    @property
    def count(self) -> int:
        return len(self.sums)

    @property
    def n(self) -> int:
        return int(self.counts.sum())

    @property
    def mean(self) -> float:
        return float(self.sums.sum() / self.counts.sum())

    @property
    def is_repeated(self) -> bool:
        return self.n > self.count

    @property
    def range(self) -> tuple[float, float]:
        """The smallest and largest mean of an example, which only rounding could exceed."""
        means = self.sums / self.counts
        return float(means.min()), float(means.max())

    @property
    def residuals(self) -> Floats:
        """Each example's sum minus its expectation under the mean; exactly 0 if all are equal."""
        means = self.sums / self.counts
        if np.ptp(means) <= 1e-12 * np.abs(means).max():
            return np.zeros(self.count)
        return self.sums - self.mean * self.counts


def _closed_form(sample: _Sample, *, confidence: float, proportion: bool) -> Interval | None:
    """Returns the closed-form interval; None without values, and for values that must be resampled."""
    if not sample.count:
        return None
    if sample.zero_one and proportion:
        if not sample.is_repeated:
            return wilson(successes=round(sample.sums.sum()), n=sample.n, confidence=confidence)
        if sample.mean in (0.0, 1.0):
            of_examples = wilson(
                successes=round(sample.mean * sample.count), n=sample.count, confidence=confidence
            )
            return Interval(sample.mean, sample.n, of_examples.low, of_examples.high, "Wilson, on examples")
    if sample.count == 1:
        return Interval(sample.mean, sample.n, None, None, ONE_EXAMPLE)
    if not sample.residuals.any():
        return Interval(sample.mean, sample.n, None, None, ALL_EQUAL)
    if FEWEST_RESAMPLED <= sample.count <= MOST_RESAMPLED:
        return None
    return _clustered_t(sample, confidence=confidence)


def _clustered_t(sample: _Sample, *, confidence: float) -> Interval:
    """Returns the interval from the linearised variance over examples; with one value each, it is the
    usual s²/n.
    """
    error = math.sqrt(sample.count / (sample.count - 1) * float(np.sum(sample.residuals**2))) / sample.n
    reach = student_t(degrees=sample.count - 1, confidence=confidence) * error
    method = "t, clustered by example" if sample.is_repeated else "t"
    return Interval(sample.mean, sample.n, sample.mean - reach, sample.mean + reach, method)


def _bootstrap(samples: Sequence[_Sample], *, confidence: float) -> list[Interval]:
    """Returns the expanded BCa interval of each arm. Its examples occupy the first places, whichever they are."""
    columns = np.zeros((2, len(samples), max(sample.count for sample in samples)))
    scales = [float(np.abs(sample.residuals).max()) for sample in samples]
    for row, sample in enumerate(samples):
        columns[0, row, : sample.count] = sample.residuals / scales[row]
        columns[1, row, : sample.count] = sample.counts
    sums = resampled_sums(columns.reshape(2 * len(samples), -1)).reshape(2, len(samples), -1)
    deviations = divided(sums[0], sums[1], otherwise=0.0)
    found = []
    for row, sample in enumerate(samples):
        limits = bca_limits(
            deviations[row],
            estimate=0.0,
            influence=columns[0, row],
            count=sample.count,
            confidence=confidence,
        )
        low, high = np.clip(sample.mean + scales[row] * np.array(limits), *sample.range).tolist()
        method = "BCa bootstrap, clustered by example" if sample.is_repeated else "BCa bootstrap"
        found.append(Interval(sample.mean, sample.n, low, high, method))
    return found


def _within(interval: Interval, bounds: Bounds | None) -> Interval:
    if bounds is None or interval.low is None or interval.high is None:
        return interval
    low, high = max(interval.low, bounds[0]), min(interval.high, bounds[1])
    return Interval(interval.mean, interval.n, low, high, interval.method)
