"""The behaviour of the arms as figures: small ones of the REPL's use, and one of the time.

Plotly data, panel by panel, in the form that the page's script expects of every figure. Pure functions without
store or request.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ..charts.legends import LegendEntry
from ..charts.numbers import Series
from ..charts.style import (
    PATTERN_WORDS,
    PATTERNS,
    colour,
    filled,
    frame,
    pattern,
    plain,
    series_mark,
)
from .differences import Difference
from .tables import Number, Row, Table

_PART_PATTERNS = {"retries": "x", "cells": "/", "tools": "."}
_SMALL, _LARGE = 200, 260
"""Heights of figures, in pixels."""
_BAR = 0.14
"""The maximum width of a bar, as a share of a small figure's width."""
_LONGEST = 26
"""The maximum length of a name in a figure, in characters."""


def use_figure(table: Table) -> dict[str, Any]:
    """Returns a panel for each use that an arm has, with a bar and interval per arm, grouped by competing arms."""
    series = _series(table)
    panels = [
        {"title": column.title, "form": "bars", **_bars(table, place, series)}
        for place, column in enumerate(table.columns)
        if any(row.numbers[place] is not None for row in table.rows)
    ]
    return {
        "title": "Sub-calls, cells and answers",
        "caption": "Means per rollout and shares of rollouts, whiskers 95 % intervals.",
        "legend": [
            {"name": entry.name, "colour": entry.colour, "pattern": entry.pattern, "mark": entry.mark}
            for entry in legend(table)
        ],
        "panels": panels,
    }


def differences_figure(found: Sequence[Difference]) -> dict[str, Any]:
    """Returns a panel for each difference, the largest first."""
    panels = [
        {"title": each.title, "form": "bars", **_bars(each.table, each.place, _series(each.table), _LARGE)}
        for each in found
    ]
    tables = list({each.table.name: each.table for each in found}.values())
    entries = dict.fromkeys(entry for table in tables for entry in legend(table))
    return {
        "title": "Largest differences between arms",
        "caption": "Means per rollout and shares of rollouts, whiskers 95 % intervals.",
        "legend": [
            {"name": entry.name, "colour": entry.colour, "pattern": entry.pattern, "mark": entry.mark}
            for entry in entries
        ],
        "panels": panels,
    }


def legend(table: Table) -> tuple[LegendEntry, ...]:
    """Returns the colours and patterns of the arms, in order."""
    return tuple(
        LegendEntry(
            each.scaffold, each.name, PATTERN_WORDS[PATTERNS.index(pattern(each))], colour(each), series_mark(each)
        )
        for each in dict.fromkeys(_series(table))
    )


def _series(table: Table) -> list[Series]:
    """Returns the series of each row of the table."""
    seen: Counter[str] = Counter()
    known: dict[tuple[str, str], Series] = {}
    for row in table.rows:
        scaffold, name = row.arm.arm.scaffold, row.arm.series
        if (scaffold, name) not in known:
            known[scaffold, name] = Series(name, scaffold, seen[scaffold])
            seen[scaffold] += 1
    return [known[row.arm.arm.scaffold, row.arm.series] for row in table.rows]


def _bars(table: Table, place: int, series: Sequence[Series], height: int = _SMALL) -> dict[str, Any]:
    """Returns the data and layout of one panel."""
    pairs = [(row, own) for row, own in zip(table.rows, series, strict=True) if row.numbers[place] is not None]
    groups = list(dict.fromkeys(row.arm.group for row, _ in pairs))
    data = []
    for each in dict.fromkeys(own for _, own in pairs):
        rows = [row for row, own in pairs if own == each]
        data.append(
            {
                **_heights(rows, place),
                "name": plain(each.name),
                "x": [groups.index(row.arm.group) for row in rows],
                "marker": {"color": colour(each), "pattern": filled(each)},
            }
        )
    share = {"range": [0, 1.04], "tickformat": ".0%", "dtick": 0.5}
    y = share if table.columns[place].is_share else {"rangemode": "tozero", "nticks": 4}
    x = {
        "range": [-0.5, len(groups) - 0.5],
        "showgrid": False,
        "zeroline": False,
        "tickmode": "array",
        "tickvals": list(range(len(groups))),
        "ticktext": ["<br>".join(map(_cut, group.split(" · "))) for group in groups],
    }
    # Few bars stay narrow instead of filling the figure.
    gap = max(0.3, 1 - _BAR * len(groups) * len(data))
    layout = frame(x=x, y=y, height=height) | {"barmode": "group", "bargap": gap, "bargroupgap": 0.08}
    return {"data": data, "layout": layout}


def _heights(rows: Sequence[Row], place: int) -> dict[str, Any]:
    numbers = [number for row in rows if (number := row.numbers[place]) is not None]
    limits = [number.interval for number in numbers]
    return {
        "type": "bar",
        "y": [_short(limit.mean) for limit in limits],
        "error_y": {
            "type": "data",
            "visible": any(limit.low is not None for limit in limits),
            "symmetric": False,
            "array": [None if limit.high is None else _short(limit.high - limit.mean) for limit in limits],
            "arrayminus": [None if limit.low is None else _short(limit.mean - limit.low) for limit in limits],
            "color": "var(--ink)",
            "thickness": 1,
            "width": 3,
        },
        "customdata": _customdata(rows, numbers),
        "hovertemplate": "%{customdata[1]}<extra></extra>",
    }


def time_figure(table: Table) -> dict[str, Any]:
    """Returns mean seconds per rollout: a bar per arm, a segment per part."""
    rows = list(reversed(table.rows))  # plotly puts the first one at the bottom
    parts = table.columns[:-1]
    data = []
    for place, column in enumerate(parts):
        numbers = [number for row in rows if (number := row.numbers[place]) is not None]
        data.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": column.title,
                "x": [_short(number.interval.mean) for number in numbers],
                "y": list(range(len(rows))),
                "marker": {
                    "color": f"var(--part-{column.name})",
                    "line": {"color": "var(--paper)", "width": 1},
                    "pattern": {"shape": _PART_PATTERNS.get(column.name, ""), "solidity": 0.3},
                },
                "customdata": _customdata(rows, numbers, part=column.title),
                "hovertemplate": "%{customdata[1]}<extra></extra>",
            }
        )
    x = {"title": {"text": "mean seconds per rollout", "standoff": 8}, "rangemode": "tozero"}
    y = {
        "showgrid": False,
        "zeroline": False,
        "tickmode": "array",
        "tickvals": list(range(len(rows))),
        "ticktext": [f"{_cut(row.arm.series)}<br>{_cut(row.arm.group)}" for row in rows],
    }
    layout = frame(x=x, y=y, height=64 + 44 * len(rows)) | {"barmode": "stack", "bargap": 0.4}
    return {
        "title": "Where the time went",
        "caption": "Mean seconds per rollout, from its start to its end, without scoring.",
        "legend": [
            {"name": column.title, "colour": f"var(--part-{column.name})", "pattern": ""} for column in parts
        ],
        "panels": [{"title": "", "form": "stack", "data": data, "layout": layout}],
    }


def _customdata(rows: Sequence[Row], numbers: Sequence[Number], *, part: str = "") -> list[list[str]]:
    """Returns the filter of the rollouts behind each segment, "" without one, and its tooltip."""
    heads = [f"<b>{_cut(row.arm.series)}</b> on {_cut(row.arm.group)}{part and f': {part}'}" for row in rows]
    return [
        [number.query or "", f"{head}<br>{plain(number.title)}"]
        for head, number in zip(heads, numbers, strict=True)
    ]


def _cut(name: str) -> str:
    whole = plain(name)
    return whole if len(whole) <= _LONGEST else f"{whole[: _LONGEST - 1]}…"


def _short(number: float) -> float:
    """Returns a number with the precision that a plot can show. The tooltip and the table have the rest."""
    return float(f"{number:.6g}")
