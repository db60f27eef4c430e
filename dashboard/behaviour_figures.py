"""The behaviour of the arms as figures for plotly: small ones of how the REPL was used, one of where time went.

Pure: no store, no request. Colours are CSS custom properties, as in `figures`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .behaviour_tables import Number, Row, Table
from .formatting import visible

Link = Callable[[Number], str]
"""The address of the rollouts behind a number."""

_COLOURED = ("llm", "rlm", "rlm_tips")
_PATTERNS = (("", ""), ("/", "striped"), ("x", "crossed"), (".", "dotted"), ("-", "barred"))
_PART_PATTERNS = {"retries": "x", "cells": "/", "tools": ".", "rest": ""}
_BAR = 0.14
"""The widest a bar may be, of the figure's width."""
_LONGEST = 26
"""Characters of a name in a figure."""


@dataclass(frozen=True)
class LegendEntry:
    """One colour, with the pattern that tells apart those of the same colour, in words for readers."""

    scaffold: str
    name: str
    shape: str
    pattern: str


def legend(table: Table) -> tuple[LegendEntry, ...]:
    """What colours and patterns stand for, in the order of the arms."""
    seen: Counter[str] = Counter()
    found = []
    for scaffold, name in dict.fromkeys((row.arm.arm.scaffold, row.arm.series) for row in table.rows):
        shape, pattern = _PATTERNS[seen[scaffold] % len(_PATTERNS)]
        found.append(LegendEntry(scaffold=scaffold, name=name, shape=shape, pattern=pattern))
        seen[scaffold] += 1
    return tuple(found)


def use_figure(table: Table, place: int, *, link: Link) -> dict[str, Any]:
    """One column of the table of uses: a bar per arm, grouped by what arms compete on, with 95 % intervals."""
    rows = [row for row in table.rows if row.numbers[place] is not None]
    groups = list(dict.fromkeys(row.arm.group for row in rows))
    column, data = table.columns[place], []
    for entry in legend(table):
        own = [row for row in rows if (row.arm.arm.scaffold, row.arm.series) == (entry.scaffold, entry.name)]
        bars = _bars(own, place, link=link) | {"x": [groups.index(row.arm.group) for row in own]}
        colour = f"var(--{entry.scaffold if entry.scaffold in _COLOURED else 'other'})"
        bars["marker"] = {"color": colour, "pattern": {"shape": entry.shape, "solidity": 0.3}}
        data.append(bars)
    share = {"range": [0, 1.04], "tickformat": ".0%", "dtick": 0.5} if column.is_share else {"rangemode": "tozero"}
    return {"data": data, "layout": _use_layout(groups, share, bars=len(groups) * len(data))}


def _bars(rows: Sequence[Row], place: int, *, link: Link) -> dict[str, Any]:
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
        "customdata": _customdata(rows, numbers, link, ""),
        "hovertemplate": "%{customdata[1]}<extra></extra>",
    }


def time_figure(table: Table, *, link: Link) -> dict[str, Any]:
    """Where the time went: a bar per arm, a piece per part, in mean seconds per rollout."""
    rows = list(reversed(table.rows))  # plotly puts the first one at the bottom
    names = [f"{_cut(row.arm.series)}<br>{_cut(row.arm.group)}" for row in rows]
    data = []
    for place, column in enumerate(table.columns[:-1]):
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
                "customdata": _customdata(rows, numbers, link, column.title),
                "hovertemplate": "%{customdata[1]}<extra></extra>",
            }
        )
    return {"data": data, "layout": _time_layout(names)}


def _customdata(rows: Sequence[Row], numbers: Sequence[Number], link: Link, part: str) -> list[list[str]]:
    """Where a click leads, and what the hover says: the arm, the part of its time, the number."""
    heads = [f"<b>{_cut(row.arm.series)}</b> on {_cut(row.arm.group)}{part and f': {part}'}" for row in rows]
    return [
        [link(number), f"{head}<br>{_plain(number.title)}"] for head, number in zip(heads, numbers, strict=True)
    ]


def _plain(name: str) -> str:
    """A name in the few tags that plotly knows: its angles go."""
    return visible(name).replace("<", "‹").replace(">", "›").replace("&", "+")


def _cut(name: str) -> str:
    plain = _plain(name)
    return plain if len(plain) <= _LONGEST else f"{plain[: _LONGEST - 1]}…"


def _short(number: float) -> float:
    """As much of a number as a plot can show; the hover and the table have the rest."""
    return float(f"{number:.6g}")


def _base(height: int, *, left: int) -> dict[str, Any]:
    font = {"family": "var(--sans)", "size": 12, "color": "var(--ink)"}
    return {
        "height": height,
        "margin": {"l": left, "r": 8, "t": 8, "b": 32},
        "showlegend": False,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": font,
        "hoverlabel": {
            "align": "left",
            "bgcolor": "var(--raised)",
            "bordercolor": "var(--line-strong)",
            "font": font,
        },
    }


def _use_layout(groups: Sequence[str], y_axis: dict[str, Any], *, bars: int) -> dict[str, Any]:
    return {
        **_base(180, left=40),
        "barmode": "group",
        # Few bars stay slim instead of filling the figure.
        "bargap": max(0.3, 1 - _BAR * bars),
        "bargroupgap": 0.08,
        "xaxis": {
            "range": [-0.5, len(groups) - 0.5],
            "tickmode": "array",
            "tickvals": list(range(len(groups))),
            "ticktext": ["<br>".join(map(_cut, group.split(" · "))) for group in groups],
            "automargin": True,
            "fixedrange": True,
        },
        "yaxis": {
            **y_axis,
            "nticks": 4,
            "gridcolor": "var(--line)",
            "zerolinecolor": "var(--line-strong)",
            "fixedrange": True,
        },
    }


def _time_layout(names: Sequence[str]) -> dict[str, Any]:
    return {
        **_base(64 + 44 * len(names), left=8),
        "barmode": "stack",
        "bargap": 0.4,
        "xaxis": {
            "title": {"text": "mean seconds per rollout", "standoff": 8},
            "rangemode": "tozero",
            "gridcolor": "var(--line)",
            "zerolinecolor": "var(--line-strong)",
            "automargin": True,
            "fixedrange": True,
        },
        "yaxis": {
            "tickmode": "array",
            "tickvals": list(range(len(names))),
            "ticktext": list(names),
            "automargin": True,
            "fixedrange": True,
        },
    }
