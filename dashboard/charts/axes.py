"""The axes of a panel: groups by name, numbers by size, and the range of values."""

from __future__ import annotations

from typing import Any

from .numbers import Chart, Panel
from .style import plain

_LOW = 0.5
"""Rewards below this get their own axis range; others get 0 to 1, so that figures are comparable."""
_DECADES = 300
"""A logarithmic axis shorter than this has room for 2 and 5 between the powers of ten."""


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


def number_axis(panel: Panel) -> dict[str, Any]:
    axis: dict[str, Any] = {"title": {"text": plain(panel.x)}, "exponentformat": "SI", "nticks": 8}
    if not panel.log:
        return axis
    places = [point.x.mean for point in panel.points if point.x and point.x.mean > 0]
    few_decades = not places or max(places) / min(places) < _DECADES
    return {**axis, "type": "log", "dtick": "D2" if few_decades else 1}


def value_axis(panel: Panel) -> dict[str, Any]:
    """Returns the axis of values: from 0 if values start there, from 0 to 1 for rewards."""
    limits = [
        limit
        for point in panel.points
        if point.value
        for limit in (point.value.low, point.value.mean, point.value.high)
        if limit is not None
    ]
    dots = [each for curve in panel.curves for each in (float(curve.y.min()), float(curve.y.max()))]
    top = max([*limits, *dots], default=1.0)
    if panel.y.endswith("reward") and min([*limits, *dots], default=0.0) >= 0 and _LOW < top <= 1:
        return {
            "range": [-0.1 if panel.form == "dots" else 0, 1.1 if panel.form == "dots" else 1.04],
            "tickformat": ".1f",
            "dtick": 0.2,
        }
    if any(point.value and point.value.low is not None and point.value.high is None for point in panel.points):
        return {"range": [min(0.0, *limits), 1.25 * max(limits)], "exponentformat": "SI"}
    return {"rangemode": "tozero", "exponentformat": "SI"}
