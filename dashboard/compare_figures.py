"""The figures of a comparison as data for plotly: rewards, differences and the Pareto front, each arm a mark.

Pure: no store, no request. An arm has its scaffold's colour and mark and its own letter, so that colour is never
all that tells two arms apart. Colours are custom properties, as in the other figures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rlm_runs.aggregates.comparison import MeasureRow, SideBySide
from rlm_runs.aggregates.fronts import FrontPlace
from rlm_runs.statistics import Interval

from .comparing import NamedArm
from .formatting import probability, signed, visible

Link = Callable[[NamedArm], str]
"""The address of an arm's rollouts."""

_COLOURED = ("llm", "rlm", "rlm_tips")
_SYMBOLS = {"llm": "circle", "rlm": "square", "rlm_tips": "triangle-up"}
_OTHER_SYMBOL = "diamond"
_CLEAR = 0.05
_ROW = 28
"""Pixels for each arm of a figure that has a line per arm."""


def rewards(found: SideBySide, arms: Sequence[NamedArm], *, link: Link) -> dict[str, Any]:
    """Mean rewards with their 95 % intervals, a line per arm."""
    shown = [(arm, mean) for arm, mean in zip(arms, found.reward.means, strict=True) if mean is not None]
    traces = [
        _mark(arm, x=mean.mean, y=arm.name, spread=("error_x", mean), words=_mean_words(arm, mean), link=link)
        for arm, mean in shown
    ]
    return {"data": traces, "layout": _by_arm(arms, title="mean reward", around=[mean for _, mean in shown])}


def differences(found: SideBySide, arms: Sequence[NamedArm], *, link: Link) -> dict[str, Any]:
    """Mean paired differences to A with their 95 % intervals; a full mark is clear of 0 after correction."""
    row = found.reward
    traces = []
    for at, arm in enumerate(arms):
        pair, adjusted = row.against[at], row.adjusted[at]
        if pair is None or adjusted is None:
            continue
        words = [
            f"<b>{_plain(arm.name)}</b> less {_plain(arms[0].name)}",
            f"{signed(pair.mean_difference)} on {pair.n} common examples{_limits(pair.difference)}",
            f"better on {pair.better}, worse on {pair.worse}; {probability(adjusted)} corrected",
        ]
        traces.append(
            _mark(
                arm,
                x=pair.mean_difference,
                y=arm.name,
                spread=("error_x", pair.difference),
                words="<br>".join(words),
                link=link,
                is_full=adjusted < _CLEAR,
            )
        )
    around = [pair.difference for pair in row.against if pair is not None]
    layout = _by_arm(arms[1:], title=f"mean reward less that of {_plain(arms[0].name)}", around=around)
    return {"data": traces, "layout": layout}


def front(
    found: SideBySide, places: Sequence[FrontPlace], arms: Sequence[NamedArm], *, price: str, link: Link
) -> dict[str, Any]:
    """Reward against a price, both with intervals; arms on the Pareto front are full marks joined by a line."""
    row = next(row for row in found.rows if row.measure.name == price)
    data = []
    line = []
    for arm, reward, cost, place in zip(arms, found.reward.means, row.means, places, strict=True):
        if reward is None or cost is None:
            continue
        words = [_mean_words(arm, reward), f"{row.measure.title} {cost.mean:,.4g} {row.measure.unit}".rstrip()]
        if place.share is not None:
            words.append(f"on the front in {place.share:.0%} of the resamples")
        trace = _mark(
            arm,
            x=cost.mean,
            y=reward.mean,
            spread=("error_y", reward),
            words="<br>".join(words),
            link=link,
            is_full=place.is_on,
        )
        trace |= {"error_x": _spread(cost), "mode": "markers+text", "text": [arm.letter]}
        data.append(trace | {"textposition": "top right"})
        if place.is_on:
            line.append((cost.mean, reward.mean))
    return {"data": [_front_line(sorted(line)), *data], "layout": _front_layout(found.reward, row)}


def _front_line(points: Sequence[tuple[float, float]]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [x for x, _ in points],
        "y": [y for _, y in points],
        "line": {"color": "var(--line-strong)", "width": 1, "shape": "hv"},
        "hoverinfo": "skip",
    }


def _mark(
    arm: NamedArm,
    *,
    x: float,
    y: float | str,
    spread: tuple[str, Interval],
    words: str,
    link: Link,
    is_full: bool = True,
) -> dict[str, Any]:
    """One arm. `spread` names the axis of the interval that goes through it."""
    scaffold = arm.arm.scaffold
    symbol = _SYMBOLS.get(scaffold, _OTHER_SYMBOL)
    colour = f"var(--{scaffold if scaffold in _COLOURED else 'other'})"
    axis, interval = spread
    return {
        "type": "scatter",
        "mode": "markers",
        "name": _plain(arm.name),
        "x": [x],
        "y": [_plain(y) if isinstance(y, str) else y],
        axis: _spread(interval),
        "marker": {
            "color": colour,
            "symbol": symbol if is_full else f"{symbol}-open",
            "size": 10,
            "line": {"color": colour, "width": 2},
        },
        "customdata": [[link(arm), words]],
        "hovertemplate": "%{customdata[1]}<extra></extra>",
    }


def _spread(interval: Interval) -> dict[str, Any]:
    low = interval.mean if interval.low is None else interval.low
    high = interval.mean if interval.high is None else interval.high
    return {
        "type": "data",
        "symmetric": False,
        "array": [high - interval.mean],
        "arrayminus": [interval.mean - low],
        "color": "var(--soft)",
        "thickness": 1,
        "width": 4,
    }


def _mean_words(arm: NamedArm, mean: Interval) -> str:
    return f"<b>{_plain(arm.name)}</b><br>mean reward {mean.mean:.4f}, n {mean.n}{_limits(mean)}"


def _limits(interval: Interval) -> str:
    if interval.low is None or interval.high is None:
        return f"; {interval.method}"
    return f"<br>95 % interval {interval.low:.4f} to {interval.high:.4f} ({interval.method})"


def _plain(name: str) -> str:
    """Names are not ours: plotly would read their angles as tags."""
    return visible(name).replace("<", "‹").replace(">", "›").replace("&", "+")


def _by_arm(arms: Sequence[NamedArm], *, title: str, around: Sequence[Interval]) -> dict[str, Any]:
    """A line per arm, A on top; the axis holds all intervals, and 0."""
    names = [_plain(arm.name) for arm in arms]
    axis = {"title": {"text": title, "standoff": 8}, "range": _range(around), **_LINES}
    lines = {
        "type": "category",
        "categoryorder": "array",
        "categoryarray": names,
        "range": [len(names) - 0.5, -0.5],
        "tickmode": "array",
        "tickvals": list(range(len(names))),
        "ticktext": names,
        "automargin": True,
        "fixedrange": True,
    }
    return {**_LAYOUT, "height": 64 + _ROW * max(len(names), 2), "xaxis": axis, "yaxis": lines}


def _front_layout(reward: MeasureRow, price: MeasureRow) -> dict[str, Any]:
    def axis(row: MeasureRow, title: str) -> dict[str, Any]:
        around = [mean for mean in row.means if mean is not None]
        return {"title": {"text": title, "standoff": 8}, "range": _range(around), **_LINES}

    return {
        **_LAYOUT,
        "height": 360,
        "xaxis": axis(price, f"{price.measure.axis} per rollout"),
        "yaxis": axis(reward, "mean reward"),
    }


def _range(around: Sequence[Interval]) -> list[float]:
    low = min([0.0, *(each.mean if each.low is None else each.low for each in around)])
    high = max([0.0, *(each.mean if each.high is None else each.high for each in around)])
    room = 0.05 * (high - low) or 0.5
    return [low - room if low < 0 else -room / 2, high + room if high > 0 else room]


_LINES: dict[str, Any] = {
    "gridcolor": "var(--line)",
    "zerolinecolor": "var(--soft)",
    "fixedrange": True,
    "automargin": True,
}
_LAYOUT: dict[str, Any] = {
    "margin": {"l": 8, "r": 16, "t": 8, "b": 8},
    "showlegend": False,
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "font": {"family": "var(--sans)", "size": 12, "color": "var(--ink)"},
    "hoverlabel": {
        "align": "left",
        "bgcolor": "var(--raised)",
        "bordercolor": "var(--line-strong)",
        "font": {"family": "var(--sans)", "size": 12, "color": "var(--ink)"},
    },
}
