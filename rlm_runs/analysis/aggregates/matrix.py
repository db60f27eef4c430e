"""The example × arm matrix: the examples on which arms agree, and those on which they do not.

A row is an example, a column an arm, a cell the mean reward of the counted repetitions. Rows are sorted and
filtered as numpy columns; only those of one page become objects.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .frame import Frame, Outcome
from .unscored import Unscored, select_counted

DISAGREEMENT = "disagreement"
EXAMPLE = "example"
_ROUNDING = 1e-12


class Show(Enum):
    """A filter of examples. A is the first arm, B the second. Only counted rewards matter."""

    ALL = "all"
    DIFFER = "differ"
    A = "a"
    B = "b"
    WRONG = "wrong"
    UNSCORED = "unscored"


@dataclass(frozen=True)
class Repetition:
    """One rollout of a cell."""

    rollout: int
    number: int
    reward: float | None
    outcome: Outcome


@dataclass(frozen=True)
class Cell:
    """An arm on an example: the mean reward of the counted repetitions; None without any.

    `number` is the example's number in this arm's experiment, from 1; 0 if the arm never had it.
    """

    number: int
    mean: float | None
    repetitions: tuple[Repetition, ...]


@dataclass(frozen=True)
class Row:
    """An example with a cell per arm, in order. `number` counts from 1, in the first arm that has it; `owner` is
    that arm's place. `left_out` is true if none of its rollouts counts although some have a reward.
    """

    example: int
    number: int
    owner: int
    disagreement: float | None
    left_out: bool
    cells: tuple[Cell, ...]


@dataclass(frozen=True, eq=False)
class Matrix:
    """All examples of some arms. Arrays of examples are in ascending order of id: [examples].

    `means` holds the mean counted rewards, NaN without one: [arms, examples]. `scored` says whether an arm has a
    reward, `ran` whether it has a rollout.
    """

    frame: Frame
    arms: tuple[int, ...]
    examples: NDArray[np.int64]
    numbers: NDArray[np.int64]
    owners: NDArray[np.int64]
    means: NDArray[np.float64]
    scored: NDArray[np.bool_]
    ran: NDArray[np.bool_]

    @classmethod
    def of(cls, frame: Frame, arms: Sequence[int], *, unscored: Unscored) -> Matrix:
        """Returns the matrix. `frame` holds the rollouts of all arms, in any state, with `reward`."""
        examples, column = np.unique(frame["example"], return_inverse=True)
        cell = _places(frame["arm"], arms) * len(examples) + column
        shape = (len(arms), len(examples))
        kept = select_counted(frame, unscored)
        counted_cell = _places(kept["arm"], arms) * len(examples) + np.searchsorted(examples, kept["example"])
        counts = _summed(counted_cell, shape)
        means = np.full(shape, np.nan)
        np.divide(_summed(counted_cell, shape, weights=kept["reward"]), counts, out=means, where=counts > 0)
        numbers, owners = (np.zeros(len(examples), dtype=np.int64) for _ in range(2))
        for place in reversed(range(len(arms))):  # reversed, so that the first arm wins
            own = frame["arm"] == arms[place]
            numbers[column[own]] = frame["position"][own] + 1
            owners[column[own]] = place
        return cls(
            frame=frame,
            arms=tuple(arms),
            examples=examples,
            numbers=numbers,
            owners=owners,
            means=means,
            scored=_summed(cell[frame["outcome"] == Outcome.SCORED], shape) > 0,
            ran=_summed(cell, shape) > 0,
        )

    @property
    def disagreement(self) -> NDArray[np.float64]:
        """The best mean reward minus the worst; NaN if fewer than two arms have one: [examples]."""
        known = ~np.isnan(self.means)
        best = np.where(known, self.means, -np.inf).max(axis=0, initial=-np.inf)
        worst = np.where(known, self.means, np.inf).min(axis=0, initial=np.inf)
        spread = np.full(len(self.examples), np.nan)
        np.subtract(best, worst, out=spread, where=known.sum(axis=0) > 1)
        spread[spread <= _ROUNDING * np.abs(best)] = 0.0
        return spread

    def shown(self, show: Show) -> NDArray[np.bool_]:
        """Returns a mask of the examples that pass the filter: [examples]."""
        with np.errstate(invalid="ignore"):
            match show:
                case Show.DIFFER:
                    return self.disagreement > 0
                case Show.A:
                    return self._difference < 0
                case Show.B:
                    return self._difference > 0
                case Show.WRONG:
                    known = ~np.isnan(self.means)
                    return _any(known) & ~_any(known & (self.means > 0))
                case Show.UNSCORED:
                    return _any(self.ran & ~self.scored)
        return np.ones(len(self.examples), dtype=bool)

    @property
    def _difference(self) -> NDArray[np.float64]:
        """Returns B minus A, 0 for differences within rounding: [examples]."""
        if len(self.arms) < 2:
            return np.full(len(self.examples), np.nan)
        difference: NDArray[np.float64] = self.means[1] - self.means[0]
        difference[np.abs(difference) <= _ROUNDING * np.abs(self.means[:2]).max(axis=0)] = 0.0
        return difference

    def ordered(self, *, sort: str, show: Show) -> NDArray[np.int64]:
        """Returns the ids of the examples that pass the filter, in the order of `sort`.

        `sort` is DISAGREEMENT (the greatest first), EXAMPLE (by number), or an arm's id, with `-` for the highest
        reward first. Ties are sorted by number; examples without the value come last.
        """
        keys: list[NDArray[Any]] = [self.examples, self.numbers, self.owners]
        if sort == DISAGREEMENT:
            keys += [-np.abs(self._difference), -self.disagreement]
        elif sort != EXAMPLE:
            rewards = self.means[self.arms.index(int(sort.removeprefix("-")))]
            keys.append(-rewards if sort.startswith("-") else rewards)
        order = np.lexsort([np.nan_to_num(key, nan=np.inf) for key in keys])
        ordered: NDArray[np.int64] = self.examples[order[self.shown(show)[order]]]
        return ordered

    def rows(self, examples: Sequence[int]) -> list[Row]:
        """Returns the rows of these examples, in the given order."""
        at = self.frame.where(np.isin(self.frame["example"], examples))
        cells: dict[tuple[int, int], list[Repetition]] = defaultdict(list)
        numbers: dict[tuple[int, int], int] = {}
        names = ("arm", "example", "position", "rollout", "repetition", "reward", "outcome")
        for arm, example, position, rollout, number, reward, outcome in zip(
            *(at[name].tolist() for name in names), strict=True
        ):
            numbers[arm, example] = position + 1
            is_scored = outcome == Outcome.SCORED
            cells[arm, example].append(
                Repetition(rollout, number + 1, reward if is_scored else None, Outcome(outcome))
            )
        disagreement = self.disagreement
        found = []
        for example in map(int, examples):
            column = int(np.searchsorted(self.examples, example))
            means = self.means[:, column]
            of_arms = (
                Cell(
                    number=numbers.get((arm, example), 0),
                    mean=None if np.isnan(mean) else float(mean),
                    repetitions=tuple(cells.get((arm, example), ())),
                )
                for arm, mean in zip(self.arms, means, strict=True)
            )
            found.append(
                Row(
                    example=example,
                    number=int(self.numbers[column]),
                    owner=int(self.owners[column]),
                    disagreement=None if np.isnan(disagreement[column]) else float(disagreement[column]),
                    left_out=bool(np.isnan(means).all() and self.scored[:, column].any()),
                    cells=tuple(of_arms),
                )
            )
        return found


def _any(by_arm: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Returns whether any arm has the flag: [arms, examples] → [examples]."""
    found: NDArray[np.bool_] = np.logical_or.reduce(by_arm, axis=0)
    return found


def _places(found: NDArray[np.int64], arms: Sequence[int]) -> NDArray[np.int64]:
    """Returns the place of each id among the arms."""
    order = np.argsort(arms)
    places: NDArray[np.int64] = order[np.searchsorted(np.asarray(arms, dtype=np.int64), found, sorter=order)]
    return places


def _summed(
    cells: NDArray[np.int64], shape: tuple[int, int], *, weights: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    return np.bincount(cells, weights=weights, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)
