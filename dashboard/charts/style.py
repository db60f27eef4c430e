"""Colours, marks and frames of figures.

Colours are CSS custom properties (`var(--…)`). The page's script resolves them by the theme, so that a figure
follows light and dark without being rebuilt. Colour is never the only distinction: bars of one colour differ by
pattern, marks by shape, lines by dash.
"""

from __future__ import annotations

from typing import Any

from rlm_runs.engine.scaffolds import registry

from ..formatting import visible
from .numbers import Series

_PALETTE = 6
PATTERNS = ("", "/", "x", ".", "-", "+", "\\", "|")
PATTERN_WORDS = ("", "striped", "crossed", "dotted", "barred", "gridded", "striped back", "upright")
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
SYMBOLS = (
    "circle",
    "square",
    "triangle-up",
    "diamond",
    "cross",
    "x",
    "star",
    "triangle-down",
    "pentagon",
    "hexagram",
)
SYMBOL_MARKS = ("●", "■", "▲", "◆", "✚", "✖", "★", "▼", "⬟", "✶")


def scaffold_colour(key: str) -> str:
    """Returns the colour of a scaffold."""
    return f"var(--{registry.style_name(key)})"


def colour(series: Series) -> str:
    """Returns a scaffold's own colour; for another series, the next of the palette."""
    if series.scaffold:
        return scaffold_colour(series.scaffold)
    return f"var(--series-{series.number % _PALETTE + 1})"


def faint(series: Series) -> str:
    """Returns the faint form of the series' colour, for elements in the background."""
    return colour(series).replace("var(", "faint(")


def pattern(series: Series) -> str:
    """Returns the pattern that distinguishes bars of the same colour."""
    number = series.number if series.scaffold else series.number // _PALETTE
    return PATTERNS[number % len(PATTERNS)]


def filled(series: Series) -> dict[str, Any]:
    """Returns the pattern of a series, drawn in the page colour over the series' own, so that a bar keeps its
    colour.
    """
    return {"shape": pattern(series), "fillmode": "overlay", "fgcolor": "var(--paper)", "solidity": 0.3}


def dash(series: Series) -> str:
    """Returns the dash that distinguishes lines of the same colour."""
    return _DASHES[series.number % len(_DASHES)]


def symbol(series: Series) -> str:
    """Returns a scaffold's mark, open from its second series on; for other series, the next mark."""
    if not series.scaffold:
        return SYMBOLS[series.number % len(SYMBOLS)]
    own = registry.mark(series.scaffold).symbol
    return own + ("-open" if series.number % 2 else "")


def series_mark(series: Series) -> str:
    """Returns the mark as a character: a scaffold's own, else the next mark."""
    if series.scaffold:
        return registry.mark(series.scaffold).glyph
    return SYMBOL_MARKS[series.number % len(SYMBOL_MARKS)]


def plain(name: str) -> str:
    """Returns a name without characters that plotly would read as markup, because names are hostile."""
    return visible(name).replace("<", "‹").replace(">", "›").replace("&", "+")


SURFACE: dict[str, Any] = {
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
"""The layout that figures take from their page."""


def frame(*, x: dict[str, Any], y: dict[str, Any], height: int) -> dict[str, Any]:
    """Returns the layout that all figures share."""
    axis = {
        "gridcolor": "var(--line)",
        "zerolinecolor": "var(--line-strong)",
        "fixedrange": True,
        "automargin": True,
        "ticklabelstandoff": 4,
    }
    return {
        "height": height,
        "margin": {"l": 56, "r": 8, "t": 8, "b": 32},
        **SURFACE,
        "xaxis": titled({**axis, **x}),
        "yaxis": titled({**axis, **y}),
    }


def titled(axis: dict[str, Any]) -> dict[str, Any]:
    """Returns an axis whose title has the same size as other text."""
    return {**axis, "title": {"standoff": 8, **axis.get("title", {}), "font": {"size": 12}}}
