"""Ratios of means, such as reward per token, resampled together.

Numerator, denominator and baseline move together when the same examples are drawn. Combining separate intervals
would ignore this.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .by_example import Table
from .intervals import ONE_EXAMPLE, Interval
from .resampling import (
    MOST_RESAMPLED,
    Floats,
    batches,
    bca_limits,
    divided,
    resampled_sums,
    student_t,
)

BOOTSTRAP = "BCa bootstrap by example"
NO_REWARD = "the mean above is 0: no interval"
ALL_IN_PROPORTION = "no spread was seen: no interval"

_FEWEST_RESAMPLED = 10
"""The minimum number of examples for the bootstrap. With fewer, too many resamples divide by 0; t on the logarithm
covers 93-98 % there.
"""


def ratio_interval(
    numerators: ArrayLike,
    denominators: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    confidence: float = 0.95,
) -> Interval | None:
    """Returns mean(numerators) ÷ mean(denominators) of the same rollouts, paired by example; see
    `ratio_intervals`.

    `numerators`, `denominators`, `clusters`: [values]. None without values, and if the denominators' mean is 0.
    """
    above = np.asarray(numerators, dtype=np.float64)
    of_example = np.arange(len(above)) if clusters is None else clusters
    tables = [Table.of(values, examples=of_example, arm_ids=[0]) for values in (above, denominators)]
    return ratio_intervals(*tables, confidence=confidence)[0]


def ratio_intervals(
    numerators: Table,
    denominators: Table,
    *,
    baseline: int | None = None,
    common: bool = True,
    confidence: float = 0.95,
) -> list[Interval | None]:
    """Returns mean(numerator) ÷ mean(denominator) of each row, relative to the row `baseline` if given.

    With rewards over tokens and the LLM arm as baseline, this is the article's token efficiency. Both tables must
    have the same arms and examples (else ValueError), and all values must be ≥ 0. With `common`, means are over
    the examples that have all values of the figure; otherwise each mean is over its own examples, and shared
    examples are resampled together. `n` of the result counts those examples.

    None if a mean is missing, or if a divisor is 0. For the baseline itself, ratio and limits are 1 by definition.
    With 10 to 2,048 examples, the method is the expanded BCa bootstrap; its `high` is None if so many resamples
    divide by 0 that there is no upper limit (for example, a baseline that solved one example of fifty). With fewer
    or more examples, it is Student's t on the logarithm of the ratio, linearised.
    """
    _check(numerators, denominators)
    quotients = [
        _Quotient.of(numerators, denominators, row=row, baseline=baseline, common=common)
        for row in range(len(numerators.arms))
    ]
    found = [_closed_form(quotient, confidence=confidence) if quotient else None for quotient in quotients]
    to_resample = [
        (row, quotient)
        for row, quotient in enumerate(quotients)
        if quotient is not None and quotient.is_to_be_resampled
    ]
    for batch in batches(to_resample):
        intervals = _bootstrap([quotient for _, quotient in batch], confidence=confidence)
        for (row, _), interval in zip(batch, intervals, strict=True):
            found[row] = interval
    return found


def _check(numerators: Table, denominators: Table) -> None:
    same_arms = np.array_equal(numerators.arms, denominators.arms)
    if not same_arms or not np.array_equal(numerators.examples, denominators.examples):
        raise ValueError("numerators and denominators must be of the same arms and examples")


@dataclass(frozen=True, eq=False)
class _Quotient:
    """A product of positive means to the powers 1 and −1: their sums and counts by example, [means, examples]."""

    sums: Floats
    counts: Floats
    powers: NDArray[np.int64]
    is_baseline: bool

    @classmethod
    def of(
        cls, numerators: Table, denominators: Table, *, row: int, baseline: int | None, common: bool
    ) -> _Quotient | None:
        """Returns the quotient; None if a mean is missing or a divisor is 0."""
        parts = [(numerators, row, 1), (denominators, row, -1)]
        if baseline is not None:
            parts += [(numerators, baseline, -1), (denominators, baseline, 1)]
        sums = np.stack([table.sums[at] for table, at, _ in parts])
        counts = np.stack([table.counts[at] for table, at, _ in parts])
        used = (counts > 0).all(axis=0) if common else (counts > 0).any(axis=0)
        powers = np.array([power for _, _, power in parts])
        sums, counts = sums[:, used], counts[:, used]
        if not counts.any(axis=1).all() or (sums.sum(axis=1)[powers < 0] <= 0).any():
            return None
        return cls(sums, counts, powers, is_baseline=row == baseline)

    @property
    def examples(self) -> int:
        return int(self.sums.shape[1])

    @property
    def ratio(self) -> float:
        means = self.sums.sum(axis=1) / self.counts.sum(axis=1)
        return float(np.prod(means[self.powers > 0]) / np.prod(means[self.powers < 0]))

    @property
    def influence(self) -> Floats:
        """The pull of each example on the logarithm of the ratio: [examples]."""
        of_values, of_counts = np.split(self.shares, 2)
        pulls = of_values - of_counts
        influence: Floats = self.powers @ pulls
        return np.where(np.abs(influence) > 1e-12 * np.abs(self.shares).max(), influence, 0.0)

    @property
    def shares(self) -> Floats:
        """Each example's share in the sums of each mean, then in the counts of each: [2 × means, examples]."""
        parts = np.concatenate([self.sums, self.counts])
        shares: Floats = parts / parts.sum(axis=1, keepdims=True)
        return shares

    @property
    def is_to_be_resampled(self) -> bool:
        return (
            not self.is_baseline
            and self.ratio > 0
            and _FEWEST_RESAMPLED <= self.examples <= MOST_RESAMPLED
            and bool(self.influence.any())
        )


def _closed_form(quotient: _Quotient, *, confidence: float) -> Interval | None:
    """Returns the closed-form interval; None for values that must be resampled."""
    ratio, examples = quotient.ratio, quotient.examples
    if quotient.is_baseline:
        return Interval(1.0, examples, 1.0, 1.0, "the baseline itself")
    if ratio == 0:
        return Interval(0.0, examples, None, None, NO_REWARD)
    if examples == 1:
        return Interval(ratio, examples, None, None, ONE_EXAMPLE)
    if not quotient.influence.any():
        return Interval(ratio, examples, None, None, ALL_IN_PROPORTION)
    if quotient.is_to_be_resampled:
        return None
    error = math.sqrt(examples / (examples - 1) * float(np.sum(quotient.influence**2)))
    factor = math.exp(min(student_t(degrees=examples - 1, confidence=confidence) * error, 700.0))
    return Interval(ratio, examples, ratio / factor, ratio * factor, "t on the logarithm")


def _bootstrap(quotients: list[_Quotient], *, confidence: float) -> list[Interval]:
    """Returns the expanded BCa interval of each quotient. Means are relative to the observed ones, so every ratio
    is 1.
    """
    most = max(quotient.examples for quotient in quotients)
    columns = [np.pad(quotient.shares, ((0, 0), (0, most - quotient.examples))) for quotient in quotients]
    resampled = np.split(resampled_sums(np.concatenate(columns)), len(quotients))
    return [
        _limits(quotient, sums, confidence=confidence) for quotient, sums in zip(quotients, resampled, strict=True)
    ]


def _limits(quotient: _Quotient, sums: Floats, *, confidence: float) -> Interval:
    """Returns the limits. A resample in which 0 is divided by 0 counts as 0 for the lower limit and ∞ for the
    upper.

    A resample that drew no example at all counts as the sample itself.
    """
    of_values, of_counts = np.split(sums, 2)
    means = divided(of_values, of_counts, otherwise=1.0)
    above = np.prod(means[quotient.powers > 0], axis=0)
    below = np.prod(means[quotient.powers < 0], axis=0)
    lowest = divided(above, below, otherwise=0.0)
    lowest[(below == 0) & (above > 0)] = np.inf
    highest = np.where(below == 0, np.inf, lowest)
    influence, count = quotient.influence, quotient.examples
    low, _ = bca_limits(lowest, estimate=1.0, influence=influence, count=count, confidence=confidence)
    _, high = bca_limits(highest, estimate=1.0, influence=influence, count=count, confidence=confidence)
    ratio = quotient.ratio
    return Interval(ratio, count, ratio * low, ratio * high if math.isfinite(high) else None, BOOTSTRAP)
