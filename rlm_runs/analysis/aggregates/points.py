"""The numbers of a figure: rollouts cut by up to three dimensions, and the statistics of each cell.

Pure functions: frames and groupings in, intervals and tests out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import statistics
from ..statistics import Interval, Paired, Table
from .frame import Frame, Outcome
from .measures import Measure
from .unscored import Unscored, select_counted


@dataclass(frozen=True)
class LeftOut:
    """Counts of rollouts that ended without a reward, by reason, and of unfinished ones."""

    too_long: int = 0
    unjudged: int = 0
    failed: int = 0
    cancelled: int = 0
    unfinished: int = 0

    @property
    def unscored(self) -> int:
        """Rollouts to which the treatment of unscored rollouts applies."""
        return self.too_long + self.unjudged + self.failed


@dataclass(frozen=True)
class Cell:
    """A cell: its place along each dimension, its arms, and the number of its counted rollouts."""

    place: tuple[int, ...]
    arms: tuple[int, ...]
    total: int
    counted: int
    left_out: LeftOut


@dataclass(frozen=True)
class Cut:
    """A frame cut into cells. `frame` has the counted rollouts, and `cell` their place in `cells`."""

    cells: tuple[Cell, ...]
    frame: Frame
    unscored: Unscored


def cut(frame: Frame, dimensions: Sequence[NDArray[np.int64]], *, unscored: Unscored) -> Cut:
    """Cuts all rollouts of a frame by the codes of each dimension, [rollouts] each, −1 for rollouts in none."""
    codes = np.stack(dimensions)
    inside: NDArray[np.bool_] = np.all(codes >= 0, axis=0)
    if not inside.all():
        frame, codes = frame.where(inside), codes[:, inside]
    cell_of, places = _number_cells(codes)
    number = places.shape[1]
    numbered = frame.with_column("cell", cell_of)
    kept = select_counted(numbered, unscored)
    counts = np.bincount(kept["cell"], minlength=number)
    outcomes = _cross_counts(cell_of, frame["outcome"], number, len(Outcome))
    arms = np.unique(frame["arm"])
    of_arms = _cross_counts(cell_of, np.searchsorted(arms, frame["arm"]), number, len(arms))
    cells = tuple(
        Cell(
            place=tuple(places[:, at].tolist()),
            arms=tuple(arms[of_arms[at] > 0].tolist()),
            total=int(outcomes[at].sum()),
            counted=int(counts[at]),
            left_out=LeftOut(*outcomes[at, 1:].tolist()),
        )
        for at in range(number)
    )
    return Cut(cells=cells, frame=kept, unscored=unscored)


def _number_cells(codes: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns the cell number of each rollout, and the places of the cells that occur, in ascending order.

    `codes` is [dimensions, rollouts]; the results are [rollouts] and [dimensions, cells].
    """
    sizes = [int(each.max(initial=0)) + 1 for each in codes]
    flat = np.ravel_multi_index(list(codes), sizes) if codes.shape[1] else np.empty(0, dtype=np.int64)
    used, cell_of = np.unique(flat, return_inverse=True)
    places = np.stack(np.unravel_index(used, sizes)).astype(np.int64)
    return cell_of.astype(np.int64), places


def _cross_counts(
    rows: NDArray[np.int64], columns: NDArray[np.int64], height: int, width: int
) -> NDArray[np.int64]:
    """Returns counts of rollouts by row and column: [height, width]."""
    return np.bincount(rows * width + columns, minlength=height * width).reshape(height, width)


@dataclass(frozen=True)
class Mean:
    """A measure over the rollouts of a cell. `unknown` counts the counted rollouts without the number."""

    interval: Interval | None
    unknown: int


def means(pieces: Cut, measure: Measure) -> list[Mean]:
    """Returns the mean of a measure in each cell, with its interval clustered by example."""
    values = pieces.frame[measure.name]
    unknown = np.bincount(pieces.frame["cell"][np.isnan(values)], minlength=len(pieces.cells))
    found = statistics.mean_intervals(
        table(pieces, measure.name), bounds=bounds(measure, values), proportion=is_share(measure)
    )
    return [Mean(interval, int(number)) for interval, number in zip(found, unknown, strict=True)]


def plain_means(pieces: Cut, measure: Measure) -> list[tuple[float, int] | None]:
    """Returns each cell's mean and number of known values, without an interval; None for a cell without any."""
    values, cells = pieces.frame[measure.name], pieces.frame["cell"]
    known = ~np.isnan(values)
    counts = np.bincount(cells[known], minlength=len(pieces.cells)).tolist()
    sums = np.bincount(cells[known], weights=values[known], minlength=len(pieces.cells)).tolist()
    return [(total / number, number) if number else None for total, number in zip(sums, counts, strict=True)]


def table(pieces: Cut, *names: str) -> Table:
    """Returns the first measure by cell and example, of the rollouts that have all named measures."""
    columns = [pieces.frame[name] for name in names]
    known = ~np.isnan(np.stack(columns)).any(axis=0)
    return Table.of(
        columns[0][known],
        examples=pieces.frame["example"][known],
        arms=pieces.frame["cell"][known],
        arm_ids=np.arange(len(pieces.cells)),
    )


def is_share(measure: Measure) -> bool:
    """Returns whether the measure's values are 0 for no and 1 for yes."""
    return measure.name == "reward" or measure.name.startswith("metric.")


def bounds(measure: Measure, values: NDArray[np.float64]) -> tuple[float, float]:
    """Returns the limits of the measure's mean: counts are not negative, and rewards from 0 to 1 stay in this
    range.
    """
    known = values[~np.isnan(values)]
    if len(known) and known.min() < 0:
        return -np.inf, np.inf
    return 0.0, 1.0 if is_share(measure) and len(known) and known.max() <= 1 else np.inf


def lifts(pieces: Cut, measure: Measure, *, baselines: Sequence[int | None]) -> list[Paired | None]:
    """Returns each cell against its baseline's cell, paired by example; None for baselines and cells
    without one.
    """
    pairs = [(base, at) for at, base in enumerate(baselines) if base is not None and base != at]
    found = iter(statistics.compare_arms(table(pieces, measure.name), pairs=pairs)) if pairs else iter(())
    return [next(found) if base is not None and base != at else None for at, base in enumerate(baselines)]


def efficiencies(pieces: Cut, *, baselines: Sequence[int | None]) -> list[Interval | None]:
    """Returns mean reward ÷ mean main-model tokens of each cell, relative to its baseline, on their common
    examples.

    None without a baseline, if the baseline's reward or tokens are 0, and if either has a negative reward.
    """
    rewards = table(pieces, "reward", "main_tokens")
    tokens = table(pieces, "main_tokens", "reward")
    found: list[Interval | None] = [None] * len(pieces.cells)
    values, cells = pieces.frame["reward"], pieces.frame["cell"]
    is_negative = np.bincount(cells[values < 0], minlength=len(pieces.cells)) > 0
    for base in sorted({each for each in baselines if each is not None and not is_negative[each]}):
        rows = [at for at, of in enumerate(baselines) if of == base and not is_negative[at]]
        numerators, denominators = (_rows(each, rows) for each in (rewards, tokens))
        ratios = statistics.ratio_intervals(numerators, denominators, baseline=rows.index(base))
        for at, ratio in zip(rows, ratios, strict=True):
            found[at] = ratio
    return found


def _rows(whole: Table, rows: Sequence[int]) -> Table:
    """Returns some rows of a table, with the examples that they have."""
    chosen = list(rows)
    some = Table(
        sums=whole.sums[chosen],
        counts=whole.counts[chosen],
        arms=whole.arms[chosen],
        examples=whole.examples,
        zero_one=whole.zero_one[chosen],
    )
    used: NDArray[np.bool_] = np.any(some.present, axis=0)
    return some.only(used)
