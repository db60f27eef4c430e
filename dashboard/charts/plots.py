"""A figure as data for plotly, panel by panel. Pure functions without store or request.

Each point carries the filter of its rollouts and its tooltip. The page's script turns the filter into a link, and
plotly displays the text.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from rlm_runs.analysis.statistics import Interval

from .axes import categories, number_axis, value_axis
from .hovers import hover
from .legends import SHADES
from .numbers import Chart, Panel, Point, Series
from .style import (
    SYMBOLS,
    colour,
    dash,
    faint,
    filled,
    frame,
    plain,
    symbol,
)

MOST_POINTS = 480
MOST_PANELS = 36
"""The maximum number of panels, twelve of each of three measures. More cannot be read."""
_HEAVIEST = 125_000
"""The maximum size of all panels together, in bytes."""
_BAR = 0.07
"""The maximum width of a bar, as a share of the figure's width."""
_ALONE, _AMONG = 320, 260
_APART = 0.03
"""The distance between marks of different series that would hide each other."""
_BESIDE, _BESIDE_ALL = 0.012, 0.06
"""The distance between whiskers of neighbouring series, and the maximum for all together, as shares of the
axis.
"""
_CROWDED = 16
"""The number of marks from which their whiskers are drawn faintly."""
Plot = tuple[list[dict[str, Any]], dict[str, Any], dict[str, Any]]
"""Traces, the horizontal axis and the vertical axis."""

_HOVER = "%{customdata[1]}<extra></extra>"


@dataclass(frozen=True)
class Plotted:
    """The panels that fit into a page, each with `title`, `form`, `data` and `layout`. `left_away` counts the
    points of the others.
    """

    panels: list[dict[str, Any]]
    left_away: int


def plotted(chart: Chart) -> Plotted:
    """Returns as many whole panels as fit into a page; of a first panel that is too large, as many points
    as fit.
    """
    height = _ALONE if len(chart.panels) == 1 else _AMONG
    panels: list[dict[str, Any]] = []
    weight = shown = 0
    for panel in chart.panels[:MOST_PANELS]:
        own = replace(panel, points=panel.points[:MOST_POINTS])
        alike = [each for each in chart.panels if (each.form, each.y, each.x) == (panel.form, panel.y, panel.x)]
        made = _plotted(chart, own, alike, height=height)
        while not panels and _weight(made) > _HEAVIEST and len(own.points) > 1:
            own = replace(own, points=own.points[: len(own.points) // 2])
            made = _plotted(chart, own, alike, height=height)
        weight += _weight(made)
        if panels and (weight > _HEAVIEST or shown + len(own.points) > MOST_POINTS):
            break
        panels.append(made)
        shown += len(own.points)
    return Plotted(panels, left_away=len(chart.points) - shown)


def _weight(panel: dict[str, Any]) -> int:
    """Returns the bytes of a panel in a page, where each angle bracket and ampersand takes six."""
    text = json.dumps(panel)
    return len(text) + 5 * sum(map(text.count, "<>&"))


def _plotted(chart: Chart, panel: Panel, alike: Sequence[Panel], *, height: int) -> dict[str, Any]:
    makers = {
        "bars": _bars,
        "stack": _stacked,
        "line": _line,
        "curve": _curves,
        "dots": _dots,
        "tradeoff": _tradeoff,
    }
    data, x, y = makers[panel.form](chart, panel, alike)
    nothing = _empty_reason(panel)
    if nothing:
        y = {**y, "range": [0, 1], "showticklabels": False}
    layout = frame(x=x, y={"title": {"text": panel.y}, **y}, height=height)
    if nothing:
        layout["annotations"] = [_message_plot(nothing)]
    if panel.base:
        layout["shapes"] = [_line_across(panel.base)]
    if panel.form in ("bars", "stack"):
        series = len({point.series for point in panel.points})
        groups = len({point.group for point in panel.points})
        layout |= {
            "barmode": "group",
            # Few bars stay narrow instead of filling the page.
            "bargap": max(0.28, 1 - _BAR * groups * max(series, 1)),
            "bargroupgap": 0.08,
        }
    return {"title": plain(panel.title), "form": panel.form, "data": data, "layout": layout}


def _empty_reason(panel: Panel) -> str:
    """Returns the reason for an empty panel as a sentence; "" for others."""
    if not panel.points or panel.curves or any(point.value for point in panel.points):
        return ""
    if panel.y.endswith("$") and all(point.counted for point in panel.points):
        return "unpriced: nothing tells what these rollouts cost"
    reasons = [point.why for point in panel.points if point.why]
    return max(reasons, key=reasons.count, default="nothing is known")


def _message_plot(text: str) -> dict[str, Any]:
    return {
        "text": text,
        "showarrow": False,
        "font": {"color": "var(--soft)", "size": 14},
        "xref": "paper",
        "yref": "paper",
        "x": 0.5,
        "y": 0.5,
    }


def _line_across(y: float) -> dict[str, Any]:
    line = {"color": "var(--soft)", "width": 1}
    return {"type": "line", "layer": "below", "xref": "paper", "x0": 0, "x1": 1, "y0": y, "y1": y, "line": line}


def _by_series(panel: Panel) -> dict[Series, list[Point]]:
    found: dict[Series, list[Point]] = {}
    for point in panel.points:
        found.setdefault(point.series, []).append(point)
    return found


def _bars(chart: Chart, panel: Panel, alike: Sequence[Panel]) -> Plot:
    data = []
    for series, points in _ordered(chart, panel).items():
        known = [point for point in points if point.value]
        means = [point.value.mean for point in known if point.value]
        data.append(
            {
                "type": "bar",
                "name": plain(series.name),
                "x": [plain(point.group) for point in known],
                "y": [_rounded(mean - panel.base) for mean in means],
                "base": panel.base,
                "error_y": _error(known),
                # The outline keeps the colour of a bar without height visible.
                "marker": {
                    "color": colour(series),
                    "pattern": filled(series),
                    "line": {"color": colour(series), "width": 1.5},
                },
                "customdata": [_custom(point) for point in known],
                "hovertemplate": _HOVER,
            }
        )
    return data, categories(chart, panel), value_axis(panel, alike)


def _ordered(chart: Chart, panel: Panel) -> dict[Series, list[Point]]:
    """Returns the points of each series, in the order of the legend."""
    found = _by_series(panel)
    return {series: found[series] for series in chart.series if series in found}


def _stacked(chart: Chart, panel: Panel, alike: Sequence[Panel]) -> Plot:
    """Returns a bar per series and group in four shades: main or sub, prompt or completion."""
    data = []
    parts = list(dict.fromkeys(point.measure for point in panel.points))
    for series, points in _ordered(chart, panel).items():
        tops: dict[str, float] = {}
        for shade, name in zip(SHADES, parts, strict=False):
            own = [point for point in points if point.measure == name and point.value]
            heights = [point.value.mean for point in own if point.value]
            base = [tops.get(point.group, 0.0) for point in own]
            for point, height in zip(own, heights, strict=True):
                tops[point.group] = tops.get(point.group, 0.0) + height
            data.append(
                {
                    "type": "bar",
                    "name": plain(f"{series.name}: {name}" if series.name else name),
                    "offsetgroup": str(chart.series.index(series)),
                    "x": [plain(point.group) for point in own],
                    "y": [_rounded(height) for height in heights],
                    "base": [_rounded(each) for each in base],
                    "opacity": shade,
                    "marker": {
                        "color": colour(series),
                        "pattern": filled(series),
                        "line": {"color": "var(--ink)", "width": 0.5},
                    },
                    "customdata": [_custom(point) for point in own],
                    "hovertemplate": _HOVER,
                }
            )
    return data, categories(chart, panel), value_axis(panel, alike)


def _line(chart: Chart, panel: Panel, alike: Sequence[Panel]) -> Plot:
    """Returns means joined by lines. Each series is slightly offset, so that whiskers do not hide each other."""
    data: list[dict[str, Any]] = []
    by_series = _ordered(chart, panel)
    for at, (series, points) in enumerate(by_series.items()):
        known = [point for point in points if point.value and point.x]
        steps = at - (len(by_series) - 1) / 2
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": plain(series.name),
                "x": [
                    _offset(point.x.mean, panel, steps=steps, series=len(by_series)) for point in known if point.x
                ],
                "y": [_rounded(point.value.mean) for point in known if point.value],
                "error_y": _error(known, ink=colour(series)),
                "line": {"color": colour(series), "width": 2, "dash": dash(series)},
                "marker": {"color": colour(series), "symbol": symbol(series), "size": 8},
                "customdata": [_custom(point) for point in known],
                "hovertemplate": _HOVER,
            }
        )
    return data, number_axis(panel, alike), value_axis(panel, alike)


def _offset(x: float, panel: Panel, *, steps: float, series: int) -> float:
    """Returns `x` moved by some steps; on a logarithmic axis, multiplied by a factor."""
    places = [point.x.mean for point in panel.points if point.x]
    low, high = min(places), max(places)
    share = steps * min(_BESIDE, _BESIDE_ALL / series)
    return _rounded(x * (high / low) ** share if panel.log else x + share * (high - low))


def _curves(chart: Chart, panel: Panel, alike: Sequence[Panel]) -> Plot:
    """Returns rolling means with their bands, which end where no spread is known."""
    data: list[dict[str, Any]] = []
    for curve in panel.curves:
        name = plain(curve.series.name)
        x = [_rounded(each) for each in curve.x.tolist()]
        band = {"type": "scatter", "mode": "lines", "x": x, "line": {"width": 0}, "hoverinfo": "skip"}
        low, high = (
            [_rounded(mean if math.isnan(limit) else limit) for limit, mean in zip(each, curve.y, strict=True)]
            for each in (curve.low.tolist(), curve.high.tolist())
        )
        data.append({**band, "y": low})
        data.append({**band, "y": high, "fill": "tonexty", "fillcolor": faint(curve.series)})
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": name,
                "x": x,
                "y": [_rounded(each) for each in curve.y.tolist()],
                "line": {"color": colour(curve.series), "width": 2, "dash": dash(curve.series)},
                "hovertemplate": f"<b>{name}</b><br>%{{y:.4~g}} around %{{x:,.4~g}}<extra></extra>",
            }
        )
    return data, number_axis(panel, alike), value_axis(panel, alike)


def _dots(chart: Chart, panel: Panel, alike: Sequence[Panel]) -> Plot:
    """Returns single rollouts, each with the filter for it and the number of its example.

    If all values are 0 or 1, the series are slightly offset.
    """
    whole = [set(curve.y.tolist()) <= {0.0, 1.0} for curve in panel.curves]
    apart = _APART if all(whole) else 0.0
    middle = (len(panel.curves) - 1) / 2
    data = []
    for at, curve in enumerate(panel.curves):
        values = [_rounded(each) for each in curve.y.tolist()]
        name = plain(curve.series.name)
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": [_rounded(each) for each in curve.x.tolist()],
                "y": [_rounded(each + (middle - at) * apart) for each in values],
                "marker": {
                    "color": colour(curve.series),
                    "symbol": symbol(curve.series),
                    "size": 7,
                    "opacity": 0.5,
                },
                "text": values,
                "customdata": [
                    [f"id:{rollout}", str(example)]
                    for rollout, example in zip(curve.rollouts.tolist(), curve.examples.tolist(), strict=True)
                ],
                "hovertemplate": f"<b>{name}</b>, example %{{customdata[1]}}<br>"
                "%{text} at %{x:,.6~g}<extra></extra>",
            }
        )
    return data, number_axis(panel, alike), value_axis(panel, alike)


def _tradeoff(chart: Chart, panel: Panel, alike: Sequence[Panel]) -> Plot:
    """Returns a mark per arm with intervals in both directions. Colour shows the series, shape the group."""
    places = {value.label: at for at, value in enumerate(chart.groups)}
    several = len(chart.groups) > 1
    whiskers = faint if len(panel.points) > _CROWDED else colour
    data: list[dict[str, Any]] = []
    for series, points in _ordered(chart, panel).items():
        known = [point for point in points if point.value and point.x]
        marks = [SYMBOLS[places[point.group] % len(SYMBOLS)] for point in known]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": plain(series.name),
                "x": [_rounded(point.x.mean) for point in known if point.x],
                "y": [_rounded(point.value.mean) for point in known if point.value],
                "error_y": _error(known, ink=whiskers(series)),
                "error_x": _error(known, ink=whiskers(series), along_x=True),
                "marker": {
                    "color": colour(series),
                    "symbol": marks if several else symbol(series),
                    "size": 11,
                    "line": {"color": "var(--paper)", "width": 1},
                    "opacity": 1 if series.number == 0 or not series.scaffold else 0.6,
                },
                "customdata": [_custom(point) for point in known],
                "hovertemplate": _HOVER,
            }
        )
    return data, {"rangemode": "tozero", **number_axis(panel, alike)}, value_axis(panel, alike)


def _error(points: Sequence[Point], *, ink: str = "var(--ink)", along_x: bool = False) -> dict[str, Any]:
    """Returns whiskers. One without an upper limit extends beyond the plot."""
    found = [point.x if along_x else point.value for point in points]
    far = 100 * max((abs(each.mean) for each in found if each), default=0.0)

    def above(interval: Interval | None) -> float:
        if interval is None or interval.low is None:
            return 0.0
        return far if interval.high is None else interval.high - interval.mean

    return {
        "type": "data",
        "symmetric": False,
        "array": [_rounded(above(each)) for each in found],
        "arrayminus": [_rounded(each.mean - each.low) if each and each.low is not None else 0 for each in found],
        "color": ink,
        "thickness": 1,
        "width": 4,
    }


def _custom(point: Point) -> list[str]:
    return [point.query or "", hover(point)]


def _rounded(number: float) -> float:
    """Returns a number with six digits, more than a screen can show."""
    return float(f"{number:.6g}")
