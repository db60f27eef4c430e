"""The figures of a comparison as data for plotly: rewards, differences and the Pareto front, a mark per arm.

Pure functions without store or request. An arm has its scaffold's colour and mark and its own letter, so colour is
never the only distinction. Colours are custom properties. The page's script draws the panels like those of all
figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rlm_runs.analysis.aggregates.comparison import MeasureRow, SideBySide
from rlm_runs.analysis.aggregates.pareto_front import FrontPlace
from rlm_runs.analysis.statistics import Interval
from rlm_runs.engine.scaffolds import registry

from ..charts.style import SURFACE, plain, scaffold_colour, titled
from ..comparison_query import NamedArm, shortened
from ..formatting import probability, signed, visible
from .measure_cells import in_unit

_CLEAR = 0.05
_ROW = 28
"""The height of each arm in a figure with a line per arm, in pixels."""


def rewards(found: SideBySide, arms: Sequence[NamedArm]) -> Plot:
    """Returns mean rewards with their 95 % intervals, a line per arm."""
    shown = [(arm, mean) for arm, mean in zip(arms, found.reward.means, strict=True) if mean is not None]
    marks = [_Mark(arm=arm, x=mean, y=None, words=_mean_words(arm, mean), is_full=True) for arm, mean in shown]
    layout = _by_arm(arms, title="mean reward", around=[mean for _, mean in shown])
    caption = "Mean rewards, whiskers 95 % intervals."
    return _plot(marks, title="Mean reward", caption=caption, layout=layout)


def differences(found: SideBySide, arms: Sequence[NamedArm]) -> Plot:
    """Returns mean paired differences from A with their 95 % intervals. A filled mark is clear of 0 after
    correction.
    """
    marks = []
    for arm, pair, adjusted in zip(arms, found.reward.against, found.reward.adjusted, strict=True):
        if pair is None or adjusted is None:
            continue
        words = [
            f"<b>{plain(arm.name)}</b> less {plain(arms[0].name)}",
            f"{signed(pair.mean_difference)} on {pair.n} common examples{_limits(pair.difference)}",
            f"better on {pair.better}, worse on {pair.worse}; {probability(adjusted)} corrected",
        ]
        marks.append(
            _Mark(arm=arm, x=pair.difference, y=None, words="<br>".join(words), is_full=adjusted < _CLEAR)
        )
    title = f"mean reward less that of {plain(arms[0].name)}"
    layout = _by_arm(arms[1:], title=title, around=[mark.x for mark in marks])
    caption = (
        f"Mean differences to {arms[0].name} on common examples, 95 % intervals; "
        "a full mark is clearly different after Holm’s correction."
    )
    return _plot(marks, title="Difference of reward", caption=caption, layout=layout)


def front(found: SideBySide, places: Sequence[FrontPlace], arms: Sequence[NamedArm], *, price: str) -> Plot:
    """Returns reward against a price, both with intervals. Arms on the Pareto front are filled marks joined by a
    line.
    """
    row = next(row for row in found.rows if row.measure.name == price)
    marks = []
    for arm, reward, cost, place in zip(arms, found.reward.means, row.means, places, strict=True):
        if reward is None or cost is None or place.share is None:
            continue
        words = [
            _mean_words(arm, reward),
            f"{row.measure.title} {cost.mean:,.4g}",
            f"on the front in {place.share:.0%} of the resamples",
        ]
        marks.append(_Mark(arm=arm, x=cost, y=reward, words="<br>".join(words), is_full=place.is_on))
    line = sorted((mark.x.mean, mark.y.mean) for mark in marks if mark.is_full and mark.y)
    caption = (
        f"Full marks are on the Pareto front: no other arm has as much reward for less {row.measure.title}. "
        "Whiskers are 95 % intervals."
    )
    layout = _front_layout(found.reward, row)
    title = f"Reward and {row.measure.title}"
    return _plot(marks, title=title, caption=caption, layout=layout, under=[_front_line(line)])


Plot = dict[str, Any]
"""The input of the page's script: a title, a legend, a panel, a caption. Clicks lead to `rollouts`."""


def _plot(
    marks: Sequence[_Mark],
    *,
    title: str,
    caption: str,
    layout: dict[str, Any],
    under: Sequence[dict[str, Any]] = (),
) -> Plot:
    return {
        "title": title,
        "caption": caption,
        "legend": [
            {
                "name": f"{mark.arm.letter} {visible(shortened(mark.arm.title, most=40))}",
                "colour": mark.colour,
                "mark": registry.mark(mark.arm.arm.scaffold).glyph,
            }
            for mark in marks
        ],
        "panels": [{"title": title, "data": [*under, _trace(marks)] if marks else [], "layout": layout}],
    }


def _front_line(points: Sequence[tuple[float, float]]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [x for x, _ in points],
        "y": [y for _, y in points],
        "line": {"color": "var(--line-strong)", "width": 1, "shape": "hv"},
        "hoverinfo": "skip",
    }


@dataclass(frozen=True)
class _Mark:
    """One arm in a figure: at a horizontal mean, and at a vertical one or on the line of its name."""

    arm: NamedArm
    x: Interval
    y: Interval | None
    words: str
    is_full: bool

    @property
    def symbol(self) -> str:
        symbol = registry.mark(self.arm.arm.scaffold).symbol
        return symbol if self.is_full else f"{symbol}-open"

    @property
    def colour(self) -> str:
        return scaffold_colour(self.arm.arm.scaffold)


def _trace(marks: Sequence[_Mark]) -> dict[str, Any]:
    """Returns all marks as one trace, so that 24 arms take little space."""
    up = [mark.y for mark in marks if mark.y is not None]
    colours = [mark.colour for mark in marks]
    trace = {
        "type": "scatter",
        "mode": "markers+text" if up else "markers",
        "x": [mark.x.mean for mark in marks],
        "y": [mean.mean for mean in up] if up else [plain(mark.arm.name) for mark in marks],
        "error_x": _spread([mark.x for mark in marks]),
        "marker": {
            "color": colours,
            "symbol": [mark.symbol for mark in marks],
            "size": 10,
            "line": {"color": colours, "width": 2},
        },
        "customdata": [[f"arm:{mark.arm.arm.pk}", mark.words] for mark in marks],
        "hovertemplate": "%{customdata[1]}<extra></extra>",
    }
    if up:
        letters = [mark.arm.letter for mark in marks]
        # On alternate sides, so that two marks close to each other both have their letter.
        sides = [("top right", "bottom left")[at % 2] for at in range(len(marks))]
        trace |= {"error_y": _spread(up), "text": letters, "textposition": sides}
    return trace


def _spread(intervals: Sequence[Interval]) -> dict[str, Any]:
    return {
        "type": "data",
        "symmetric": False,
        "array": [0 if each.high is None else each.high - each.mean for each in intervals],
        "arrayminus": [0 if each.low is None else each.mean - each.low for each in intervals],
        "color": "var(--soft)",
        "thickness": 1,
        "width": 4,
    }


def _mean_words(arm: NamedArm, mean: Interval) -> str:
    return f"<b>{plain(arm.name)}</b><br>mean reward {mean.mean:.4f}, n {mean.n}{_limits(mean)}"


def _limits(interval: Interval) -> str:
    if interval.low is None or interval.high is None:
        return f"; {interval.method}"
    return f"<br>95 % interval {interval.low:.4f} to {interval.high:.4f} ({interval.method})"


def _by_arm(arms: Sequence[NamedArm], *, title: str, around: Sequence[Interval]) -> dict[str, Any]:
    """Returns a line per arm with A on top. The axis includes all intervals and 0."""
    names = [plain(arm.name) for arm in arms]
    axis = titled({"title": {"text": title}, "range": _range(around), **_LINES})
    lines = {
        "type": "category",
        "categoryorder": "array",
        "categoryarray": names,
        "range": [len(names) - 0.5, -0.5],
        "tickmode": "array",
        "tickvals": list(range(len(names))),
        "ticktext": names,
        **_LINES,
    }
    return {**_LAYOUT, "height": 64 + _ROW * max(len(names), 2), "xaxis": axis, "yaxis": lines}


def _front_layout(reward: MeasureRow, price: MeasureRow) -> dict[str, Any]:
    def axis(row: MeasureRow, title: str) -> dict[str, Any]:
        around = [mean for mean in row.means if mean is not None]
        return titled({"title": {"text": title}, "range": _range(around), **_LINES})

    return {
        **_LAYOUT,
        "height": 320,
        "xaxis": axis(price, in_unit(price.measure)),
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
    "ticklabelstandoff": 4,
}
_LAYOUT: dict[str, Any] = {
    "margin": {"l": 8, "r": 16, "t": 8, "b": 8},
    **SURFACE,
}
