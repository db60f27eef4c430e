"""A figure in numbers: its panels, each with its points. Plots, tables, CSV and JSON are all made from it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rlm_runs.analysis.aggregates import Unscored
from rlm_runs.analysis.aggregates.dimensions import Value
from rlm_runs.analysis.aggregates.points import LeftOut
from rlm_runs.analysis.statistics import Interval, Paired


@dataclass(frozen=True)
class Series:
    """The bars or marks of one colour and mark. `scaffold` is "" if the series is not a scaffold's; `number`
    counts the series of the same colour, from 0.
    """

    name: str
    scaffold: str
    number: int


@dataclass(frozen=True)
class Point:
    """One bar or mark, and one row of the table. `group`, `series` and `facet` are text.

    `value` is None if it is unknown, for the reason in `why`. `x` is its place on a numeric axis. `unknown` of the
    `counted` rollouts lack the number and are omitted. `query` is the filter for the rollouts behind it, None if
    there is none.
    """

    facet: str
    group: str
    series: Series
    measure: str
    value: Interval | None
    x: Interval | None = None
    paired: Paired | None = None
    p: float | None = None
    plain: float | None = None
    total: int = 0
    counted: int = 0
    unknown: int = 0
    left_out: LeftOut = field(default_factory=LeftOut)
    query: str | None = None
    why: str = ""


@dataclass(frozen=True, eq=False)
class Curve:
    """Many values of one series along a numeric axis: single ones, or rolling means with their band.

    All arrays are [values]. `low` and `high` are empty for single values; `examples` (numbers from 1) and
    `rollouts` (ids) are empty for rolling means, which are over `window` examples each.
    """

    series: Series
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    examples: NDArray[np.int64]
    rollouts: NDArray[np.int64]
    left_away: int = 0
    window: int = 0


@dataclass(frozen=True)
class Panel:
    """One plot. `form` is bars, stack, line, curve, dots or tradeoff; `base` is where bars begin."""

    title: str
    form: str
    y: str
    points: tuple[Point, ...]
    curves: tuple[Curve, ...] = ()
    x: str = ""
    log: bool = False
    base: float = 0.0


@dataclass(frozen=True)
class Effect:
    """The effect of the treatment of unscored rollouts on one mean: for each, the mean and its number of rollouts;
    None without rollouts.
    """

    label: str
    measure: str
    means: dict[Unscored, tuple[float, int] | None]


@dataclass(frozen=True)
class Chart:
    """A figure. `groups` are the values along the axis, in order."""

    title: str
    by: str
    groups: tuple[Value, ...]
    series: tuple[Series, ...]
    panels: tuple[Panel, ...]
    unscored: Unscored
    left_out: LeftOut
    effects: tuple[Effect, ...]
    notes: tuple[str, ...]
    simulated: bool = False

    @property
    def points(self) -> tuple[Point, ...]:
        """All points of all panels."""
        return tuple(point for panel in self.panels for point in panel.points)
