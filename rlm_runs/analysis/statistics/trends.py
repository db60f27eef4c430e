"""Trends of one number over another, such as reward over context length: bins and a rolling mean."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .by_example import Table
from .intervals import Bounds, Interval, mean_intervals, wilson
from .resampling import Floats, student_t


class Binning(Enum):
    """The kind of bins: with equally many values, or equally wide."""

    COUNT = "count"
    WIDTH = "width"


@dataclass(frozen=True)
class Bin:
    """The values from `low` to `high` (which only the last bin includes), and their mean."""

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
    """Returns the means of `y` in bins of `x`, in ascending order; bins without values are omitted.

    `x`, `y`, `clusters`: [values], `clusters` as in `mean_interval`, which gives the intervals. Equal values of
    `x` share a bin, so many ties may give fewer bins than requested. Raises ValueError if bins < 1.
    """
    of_x, of_y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if bins < 1:
        raise ValueError("there must be at least one bin")
    if not len(of_x):
        return []
    lows = _lower_edges(of_x, bins=bins, by=by)
    highs = np.append(lows[1:], of_x.max())
    bin_of = np.searchsorted(lows, of_x, side="right") - 1
    examples = np.arange(len(of_x)) if clusters is None else clusters
    places = _places_in_bins(np.asarray(examples, dtype=np.int64), bin_of)
    of_bins, of_positions = (Table.of(values, examples=places, arms=bin_of) for values in (of_y, of_x))
    intervals = mean_intervals(of_bins, confidence=confidence, bounds=bounds)
    return [
        Bin(low=float(lows[place]), high=float(highs[place]), mean_x=float(mean_x), interval=found)
        for place, mean_x, found in zip(of_bins.arms, of_positions.means, intervals, strict=True)
        if found is not None
    ]


def _places_in_bins(examples: NDArray[np.int64], bin_of: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns the examples numbered from 0 within each bin, so that no table has bins × all examples."""
    distinct, numbers = np.unique(examples, return_inverse=True)
    pairs, pair_of = np.unique(bin_of * len(distinct) + numbers, return_inverse=True)
    bins = pairs // len(distinct)
    places: NDArray[np.int64] = (np.arange(len(pairs)) - np.searchsorted(bins, bins))[pair_of]
    return places


def _lower_edges(x: Floats, *, bins: int, by: Binning) -> Floats:
    """Returns the lower edges of the bins, ascending."""
    if by is Binning.WIDTH:
        return np.unique(np.linspace(x.min(), x.max(), bins + 1)[:-1])
    distinct, counts = np.unique(x, return_counts=True)
    middle_ranks = np.cumsum(counts) - counts / 2
    _, firsts = np.unique(np.floor(middle_ranks * bins / len(x)), return_index=True)
    return distinct[firsts]


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
    """Returns the mean of `y` over each `window` consecutive examples by `x`, at the mean of their `x`.

    `x`, `y`, `clusters`: [values]. Repetitions of an example are averaged first. With fewer examples than the
    window there is one window of all; without values there is none. Of many windows, `at_most` are returned,
    evenly spaced. The band is pointwise: Wilson if all means are 0 or 1, else Student's t, clipped to `bounds`.
    Raises ValueError if window < 1.
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
    """Returns the limits of each window's mean, NaN where its values are all equal or there is only one."""
    if ((values == 0) | (values == 1)).all():
        found = [wilson(successes=round(mean * width), n=width, confidence=confidence) for mean in means]
        low, high = np.array([(each.low, each.high) for each in found], dtype=np.float64).T
        return low, high
    if width < 2:
        return means * np.nan, means * np.nan
    centre = values.mean()
    squares = _window_means((values - centre) ** 2, starts, width=width) - (means - centre) ** 2
    changes = np.concatenate([[0], np.cumsum(values[1:] != values[:-1])])
    squares[changes[starts + width - 1] == changes[starts]] = np.nan
    reach = student_t(degrees=width - 1, confidence=confidence) * np.sqrt(np.maximum(squares, 0) / (width - 1))
    return means - reach, means + reach
