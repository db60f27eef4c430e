"""The legends of figures: colours, patterns, shapes and shades."""

from __future__ import annotations

from dataclasses import dataclass

from .numbers import Chart
from .style import PATTERN_WORDS, PATTERNS, SYMBOL_MARKS, colour, pattern, series_mark

SHADES = (1.0, 0.7, 0.45, 0.22)
"""Opacity of the four parts of a token bar, from the bottom up."""


@dataclass(frozen=True)
class LegendEntry:
    """One colour and pattern, or one shape, of the figure."""

    scaffold: str
    name: str
    pattern: str
    colour: str = ""
    mark: str = ""


def legend(chart: Chart) -> tuple[LegendEntry, ...]:
    """Returns the entries of the legend. An entry names its pattern in words as well."""
    return tuple(
        LegendEntry(
            each.scaffold, each.name, PATTERN_WORDS[PATTERNS.index(pattern(each))], colour(each), series_mark(each)
        )
        for each in chart.series
        if each.name
    )


def shapes(chart: Chart) -> tuple[LegendEntry, ...]:
    """Returns the legend of shapes in a scatter of means; empty for other figures."""
    if not any(panel.form == "tradeoff" for panel in chart.panels) or len(chart.groups) < 2:
        return ()
    return tuple(
        LegendEntry("", value.label, "", mark=SYMBOL_MARKS[at % len(SYMBOL_MARKS)])
        for at, value in enumerate(chart.groups)
    )


def shades(chart: Chart) -> tuple[tuple[str, float], ...]:
    """Returns the legend of shades in a breakdown, the darkest first, each with its opacity; empty for other
    figures.
    """
    points = [point for panel in chart.panels if panel.form == "stack" for point in panel.points]
    return tuple(zip(dict.fromkeys(point.measure for point in points), SHADES, strict=False))
