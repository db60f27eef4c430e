"""Values grouped by arm and example, so that repetitions stay together and arms are paired by example."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .resampling import Floats


@dataclass(frozen=True, eq=False)
class Table:
    """One metric of some arms on the union of their examples.

    `sums` and `counts` are over an arm's repetitions of an example: [arms, examples], 0 where the arm has no
    value. `arms` and `examples` are the ids of rows and columns, in ascending order. `zero_one` says whether all
    values of an arm are 0 or 1: [arms].
    """

    sums: Floats
    counts: Floats
    arms: NDArray[np.int64]
    examples: NDArray[np.int64]
    zero_one: NDArray[np.bool_]

    @classmethod
    def of(
        cls,
        values: ArrayLike,
        *,
        examples: ArrayLike,
        arms: ArrayLike | None = None,
        arm_ids: ArrayLike | None = None,
        example_ids: ArrayLike | None = None,
    ) -> Table:
        """Returns a table from flat arrays [values] with one entry per rollout that has the metric.

        `arm_ids` and `example_ids` are the rows and columns if there are more than the values name; tables of
        metrics that are resampled together must share them. Raises ValueError for NaN or infinity, for arrays of
        unequal length, and for an id of the values that is not among the given ids.
        """
        data = np.asarray(values, dtype=np.float64)
        of_example = np.asarray(examples, dtype=np.int64)
        of_arm = np.zeros(len(data), dtype=np.int64) if arms is None else np.asarray(arms, dtype=np.int64)
        if not (data.ndim == of_example.ndim == of_arm.ndim == 1 and len(data) == len(of_example) == len(of_arm)):
            raise ValueError("values, arms and examples must be one-dimensional and of one length")
        if not np.isfinite(data).all():
            raise ValueError("a value that is not finite: leave out what has none")
        rows, row_of = _positions(of_arm, arm_ids)
        columns, column_of = _positions(of_example, example_ids)
        shape = len(rows), len(columns)
        size = shape[0] * shape[1]
        cell = row_of * shape[1] + column_of
        return cls(
            sums=np.bincount(cell, weights=data, minlength=size).reshape(shape).astype(np.float64),
            counts=np.bincount(cell, minlength=size).reshape(shape).astype(np.float64),
            arms=rows,
            examples=columns,
            zero_one=np.bincount(row_of[(data != 0) & (data != 1)], minlength=shape[0]) == 0,
        )

    @property
    def present(self) -> NDArray[np.bool_]:
        """Whether an arm has a value for an example: [arms, examples]."""
        present: NDArray[np.bool_] = self.counts > 0
        return present

    @property
    def example_means(self) -> Floats:
        """The mean over the repetitions of each example, NaN without one: [arms, examples]."""
        means = np.full(self.sums.shape, np.nan)
        np.divide(self.sums, self.counts, out=means, where=self.present)
        return means

    @property
    def means(self) -> Floats:
        """The mean over all values of each arm, NaN for an arm without any: [arms]."""
        totals = self.counts.sum(axis=1)
        means = np.full(len(totals), np.nan)
        np.divide(self.sums.sum(axis=1), totals, out=means, where=totals > 0)
        return means

    def common(self, arms: Sequence[int] | None = None) -> NDArray[np.bool_]:
        """Returns whether all of these rows (all rows by default) have a value for each example: [examples]."""
        rows = range(len(self.arms)) if arms is None else arms
        common: NDArray[np.bool_] = np.logical_and.reduce(self.present[list(rows)], axis=0)
        return common

    def only(self, examples: NDArray[np.bool_]) -> Table:
        """Returns the same arms on some examples. `examples` is a mask: [examples]."""
        return Table(
            sums=self.sums[:, examples],
            counts=self.counts[:, examples],
            arms=self.arms,
            examples=self.examples[examples],
            zero_one=self.zero_one,
        )

    def pooled(self, most: int) -> Table:
        """Returns a table with at most `most` columns: examples are pooled into lots of similar size.

        Lots of independent examples are independent, so they can be resampled instead of the examples. The lots
        are random (the same at each call), because neighbours may be alike, for example if examples are sorted by
        length. Each lot has the id of one of its examples.
        """
        if len(self.examples) <= most:
            return self
        order = np.random.default_rng(0).permutation(len(self.examples))
        firsts = np.arange(0, len(order), math.ceil(len(order) / most))
        return Table(
            sums=np.add.reduceat(self.sums[:, order], firsts, axis=1),
            counts=np.add.reduceat(self.counts[:, order], firsts, axis=1),
            arms=self.arms,
            examples=self.examples[order[firsts]],
            zero_one=self.zero_one,
        )


def _positions(found: NDArray[np.int64], ids: ArrayLike | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns the ids in ascending order, and the place of each of `found` among them."""
    if ids is None:
        own, places = np.unique(found, return_inverse=True)
        return own, places.astype(np.int64)
    given = np.unique(np.asarray(ids, dtype=np.int64))
    at = np.searchsorted(given, found)
    if len(found) and (len(given) == 0 or (given[np.minimum(at, len(given) - 1)] != found).any()):
        raise ValueError("an id among the values is not among the ids given")
    return given, at.astype(np.int64)
