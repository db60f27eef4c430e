"""How one number goes with another, reward against context length above all: bins and a rolling mean."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .intervals import Bounds, Interval, mean_intervals, wilson
from .resampling import Floats, student_t
from .tables import Table


class Binning(Enum):
    """Whether bins hold equally many values, or are equally wide."""

    COUNT = "count"
    WIDTH = "width"


@dataclass(frozen=True)
class Bin:
    """The values from `low` to `high` (which only the last bin includes), and the mean of those in it."""

    low: float
    high: float
    mean_x: float
    interval: Interval


@dataclass(frozen=True, eq=False)
class Rolling:
    """Means over a window that moves by one example: [windows] each. `low` and `high` are NaN without spread."""

    window: int
    x: Floats
    mean: Floats
    low: Floats
    high: Floats


def binned(
    x: ArrayLike,
    y: ArrayLike,
    *,
    bins: int,
    by: Binning = Binning.COUNT,
    clusters: ArrayLike | None = None,
    confidence: float = 0.95,
    bounds: Bounds | None = None,
) -> list[Bin]:
    """Means of `y` in bins of `x`, in ascending order; bins without values are left out.

    `x`, `y`, `clusters`: [values], `clusters` as in `mean_interval`, which gives the intervals. Equal `x` share
    a bin, so that with many ties there may be fewer bins than asked for. ValueError where bins < 1.
    """
    of_x, of_y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if bins < 1:
        raise ValueError("there must be at least one bin")
    if not len(of_x):
        return []
    edges = _edges(of_x, bins=bins, by=by)
    bin_of = np.clip(np.searchsorted(edges, of_x, side="right") - 1, 0, max(len(edges) - 2, 0))
    examples = np.arange(len(of_x)) if clusters is None else clusters
    table = Table.of(of_y, examples=examples, arms=bin_of)
    mean_x = Table.of(of_x, examples=examples, arms=bin_of).means
    intervals = mean_intervals(table, confidence=confidence, bounds=bounds)
    return [
        Bin(
            low=float(edges[place]),
            high=float(edges[min(place + 1, len(edges) - 1)]),
            mean_x=float(at),
            interval=found,
        )
        for place, at, found in zip(table.arms, mean_x, intervals, strict=True)
        if found is not None
    ]


def _edges(x: Floats, *, bins: int, by: Binning) -> Floats:
    """Ascending edges, one more than bins; a single one where all x are equal."""
    if by is Binning.WIDTH:
        return np.unique(np.linspace(x.min(), x.max(), bins + 1))
    return np.unique(np.quantile(x, np.linspace(0, 1, bins + 1), method="closest_observation"))


def rolling_mean(
    x: ArrayLike,
    y: ArrayLike,
    *,
    window: int,
    clusters: ArrayLike | None = None,
    confidence: float = 0.95,
    bounds: Bounds | None = None,
    at_most: int = 200,
) -> Rolling:
    """The mean of `y` over each `window` examples that follow each other in `x`, at the mean of their `x`.

    `x`, `y`, `clusters`: [values]. Repetitions of an example are averaged first. With fewer examples than the
    window there is one window of all; of nothing there is none. Of many windows `at_most` are given, evenly
    spaced. The band is pointwise: Wilson where all means are 0 or 1, else Student's t, cut to `bounds`.
    ValueError where window < 1.
    """
    if window < 1:
        raise ValueError("a window must have at least one example")
    of_x, of_y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    examples = np.arange(len(of_x)) if clusters is None else clusters
    positions, values = (Table.of(part, examples=examples, arm_ids=[0]).example_means[0] for part in (of_x, of_y))
    order = np.argsort(positions, kind="stable")
    positions, values = positions[order], values[order]
    width = min(window, len(values))
    if not width:
        return Rolling(0, *(np.empty(0) for _ in range(4)))
    starts = np.unique(np.linspace(0, len(values) - width, at_most).round().astype(np.int64))
    mean = _window_means(values, starts, width=width)
    low, high = _band(values, mean, starts, width=width, confidence=confidence)
    if bounds is not None:
        low, high = np.maximum(low, bounds[0]), np.minimum(high, bounds[1])
    return Rolling(x=_window_means(positions, starts, width=width), mean=mean, low=low, high=high, window=width)


def _window_means(values: Floats, starts: NDArray[np.int64], *, width: int) -> Floats:
    centre = values.mean()
    sums = np.concatenate([[0.0], np.cumsum(values - centre)])
    means: Floats = centre + (sums[starts + width] - sums[starts]) / width
    return means


def _band(
    values: Floats, means: Floats, starts: NDArray[np.int64], *, width: int, confidence: float
) -> tuple[Floats, Floats]:
    if ((values == 0) | (values == 1)).all():
        found = [wilson(successes=round(mean * width), n=width, confidence=confidence) for mean in means]
        return np.array([each.low for each in found], dtype=float), np.array(
            [each.high for each in found], dtype=float
        )
    spreads = np.std(np.lib.stride_tricks.sliding_window_view(values, width)[starts], axis=1)
    spreads[spreads <= 1e-12 * np.abs(values).max()] = np.nan
    if width < 2:
        return means * np.nan, means * np.nan
    reach = student_t(degrees=width - 1, confidence=confidence) * spreads / (width - 1) ** 0.5
    return means - reach, means + reach
