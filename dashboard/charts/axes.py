"""The axes of a panel: groups by name, numbers by size, and the range of values."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from rlm_runs.analysis.statistics import Interval

from .numbers import Chart, Curve, Panel, Series
from .style import plain

_LOW = 0.5
"""Rewards below this get their own axis range; others get 0 to 1, so that figures are comparable."""
_DECADES = 300
"""A logarithmic axis that is shorter than this has room for 2 and 5 between the powers of ten."""
_ROOM, _LOG_ROOM = 1.05, 1.3
"""Factors between the furthest mark and the end of a shared axis."""


def categories(chart: Chart, panel: Panel) -> dict[str, Any]:
    """Returns the axis of groups. The range is explicit, so that groups without bars keep their places."""
    present = {point.group for point in panel.points}
    groups = [value.label for value in chart.groups if value.label in present]
    counts: dict[str, set[int]] = {group: set() for group in groups}
    for point in panel.points:
        counts[point.group].add(point.value.n if point.value else 0)
    return {
        "type": "category",
        "showgrid": False,
        "categoryorder": "array",
        "categoryarray": [plain(group) for group in groups],
        "range": [-0.5, len(groups) - 0.5],
        "tickmode": "array",
        # By name, not by number: plotly would read the category "1" as place 1.
        "tickvals": [plain(group) for group in groups],
        "ticktext": [f"{plain(group).replace(' · ', '<br>')}<br>{_n(counts[group])}" for group in groups],
        "title": {"text": "" if chart.by.startswith("environment") else plain(chart.by)},
    }


def _n(counts: set[int]) -> str:
    low, high = min(counts), max(counts)
    return f"n {low:,}" if low == high else f"n {low:,} to {high:,}"


def number_axis(panel: Panel, alike: Sequence[Panel] = ()) -> dict[str, Any]:
    """Returns the axis along; panels that are `alike` share its range where marks stand anywhere on it."""
    axis: dict[str, Any] = {"title": {"text": plain(panel.x)}, "exponentformat": "SI", "nticks": 8}
    several = len(alike) > 1 and panel.form == "tradeoff"
    if not panel.log:
        return {**axis, "range": [0, _ROOM * _furthest(alike)]} if several else axis
    places = [point.x.mean for each in (alike or (panel,)) for point in each.points if point.x]
    places = [place for place in places if place > 0]
    few_decades = not places or max(places) / min(places) < _DECADES
    axis |= {"type": "log", "dtick": "D2" if few_decades else 1}
    if several and places:
        axis["range"] = [math.log10(min(places) / _LOG_ROOM), math.log10(max(places) * _LOG_ROOM)]
    return axis


def _furthest(panels: Sequence[Panel]) -> float:
    ends = [end for each in panels for point in each.points if point.x for end in (point.x.mean, point.x.high)]
    return max((end for end in ends if end is not None), default=1.0)


def value_axis(panel: Panel, alike: Sequence[Panel] = ()) -> dict[str, Any]:
    """Returns the axis of values: from 0 where values start there, from 0 to 1 for rewards. Panels that are
    `alike` share it.
    """
    panels = alike or (panel,)
    limits = [limit for each in panels for limit in _limits(each)]
    is_dots = any(each.form == "dots" for each in panels)
    top = max(limits, default=1.0)
    if panel.y.endswith("reward") and min(limits, default=0.0) >= 0 and _LOW < top <= 1:
        return {
            "range": [-0.1 if is_dots else 0, 1.1 if is_dots else 1.04],
            "tickformat": ".1f",
            "dtick": 0.2,
        }
    is_open = any(
        point.value and point.value.low is not None and point.value.high is None
        for each in panels
        for point in each.points
    )
    if is_open:
        return {"range": [min(0.0, *limits), 1.25 * max(limits)], "exponentformat": "SI"}
    if len(panels) > 1 and limits:
        low = min(0.0, *limits)
        return {"range": [_ROOM * low, _ROOM * max(0.0, *limits) or 1.0], "exponentformat": "SI"}
    return {"rangemode": "tozero", "exponentformat": "SI"}


def reward_axis(panels: Sequence[Panel]) -> dict[str, Any]:
    """Returns the axis of mean rewards that all these panels fit on; {} without rewards."""
    means = [panel for panel in panels if panel.form != "dots"]
    found = value_axis(means[0], means) if means else {}
    return found if "range" in found else {}


def _limits(panel: Panel) -> list[float]:
    """Returns the values that the axis of a panel must cover."""
    if panel.form == "stack":
        return list(_heights(panel))
    ends = [end for point in panel.points if point.value for end in _ends(point.value)]
    return [*ends, *(end for curve in panel.curves for end in _extremes(curve))]


def _extremes(curve: Curve) -> Iterator[float]:
    for values in (curve.y, curve.low, curve.high):
        known = values[np.isfinite(values)]
        if len(known):
            yield from (float(known.min()), float(known.max()))


def _ends(value: Interval) -> list[float]:
    return [limit for limit in (value.low, value.mean, value.high) if limit is not None]


def _heights(panel: Panel) -> Iterable[float]:
    """Returns the heights of the bars of a stack."""
    found: defaultdict[tuple[str, Series], float] = defaultdict(float)
    for point in panel.points:
        if point.value:
            found[point.group, point.series] += point.value.mean
    return found.values()
