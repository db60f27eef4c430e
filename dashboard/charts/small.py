"""Figures in small: the cards of an experiment's figures, drawn on common axes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from rlm_runs.analysis.aggregates import Snapshot, Unscored
from rlm_runs.analysis.aggregates.dimensions import dimensions

from ..addresses import address_of
from . import specs
from .axes import reward_axis
from .build import chart
from .numbers import Chart
from .plots import plotted
from .query import FigureQuery, opening_query

_PANELS = 4
"""Panels of a small figure; the large one has all."""
_CROWDED = 18
"""Bars from which on a card has twice the height."""
_AT_A_GLANCE = ("reward-tokens", "tokens", "seconds")
_SHADES = "Dark to light: main prompt, main completion, sub prompt, sub completion"


@dataclass(frozen=True)
class Card:
    """A small figure: its large one's `address`, and the `source` of its drawing. `places` are its panels, for
    which the page keeps room.
    """

    label: str
    about: str
    address: str
    source: str
    places: range
    more: int
    is_tall: bool


def cards(snapshot: Snapshot, unscored: Unscored) -> Iterator[Card]:
    """Yields a card per figure of an experiment; none if the site has no pages of figures."""
    plain, by_setting = specs.entries(dimensions(snapshot))
    for entry in (*plain, *by_setting):
        if entry.spec.name != "summary" and (card := _card(entry, snapshot, unscored)):
            yield card


def cards_at_a_glance(snapshot: Snapshot, unscored: Unscored) -> list[Card]:
    """Returns the few cards that are shown under the verdicts."""
    plain, _ = specs.entries(dimensions(snapshot))
    chosen = [entry for entry in plain if entry.spec.name in _AT_A_GLANCE]
    chosen.sort(key=lambda entry: _AT_A_GLANCE.index(entry.spec.name))
    return [card for entry in chosen if (card := _card(entry, snapshot, unscored))]


def _card(entry: specs.Entry, snapshot: Snapshot, unscored: Unscored) -> Card | None:
    name, slug = entry.spec.name, snapshot.experiment.slug
    address, source = address_of("figure", slug, name), address_of("figure-small", slug, name)
    asked = _asked(entry, snapshot, unscored)
    if asked is None or not source:
        return None
    found = _first_measure(chart(snapshot, asked))
    kept = {} if unscored is Unscored.EXCLUDE else {"unscored": unscored.value}
    query = urlencode({**({"by": entry.by} if entry.by else {}), **kept})
    bars = max((len(panel.points) for panel in found.panels if panel.form == "bars"), default=0)
    return Card(
        label=entry.label,
        about=_about(found),
        address=f"{address}?{query}" if query else address,
        source=f"{source}?{query}" if query else source,
        places=range(max(1, min(len(found.panels), _PANELS))),
        more=max(0, len(found.panels) - _PANELS),
        is_tall=bars > _CROWDED,
    )


def _first_measure(found: Chart) -> Chart:
    """Returns the panels of the first measure, because a small figure shows only one."""
    return replace(found, panels=tuple(panel for panel in found.panels if panel.y == found.panels[0].y))


def _asked(entry: specs.Entry, snapshot: Snapshot, unscored: Unscored) -> FigureQuery | None:
    opens = opening_query(entry.spec, snapshot)
    if opens is None:
        return None
    return replace(opens, by=entry.by or opens.by, unscored=unscored)


def _about(found: Chart) -> str:
    """Returns the title of the value axis, for which a small figure has no room."""
    axes = list(dict.fromkeys(panel.y for panel in found.panels))
    words = axes[0] if len(axes) == 1 else ""
    if any(panel.form == "tradeoff" for panel in found.panels):
        return f"{words} against {found.panels[0].x}"
    return words


def small_figure(snapshot: Snapshot, asked: FigureQuery) -> dict[str, Any]:
    """Returns the data of a small figure, and a `key` that is unique on the page."""
    found = _first_measure(chart(snapshot, asked))
    shown = replace(found, panels=found.panels[:_PANELS])
    common = _reward_axis(snapshot, asked.unscored)
    panels = [_shrunk(panel, common if own.y == "mean reward" else {}) for panel, own in _drawn(shown)]
    key = hashlib.sha256(repr(asked).encode()).hexdigest()[:12]
    is_stack = any(panel.form == "stack" for panel in found.panels)
    return {
        "key": key,
        "script": f"small-{key}",
        "title": found.title,
        "note": _SHADES if is_stack else "",
        "panels": panels,
    }


def _drawn(shown: Chart) -> Iterator[tuple[dict[str, Any], Any]]:
    return zip(plotted(shown).panels, shown.panels, strict=False)


def _shrunk(panel: dict[str, Any], value_axis: dict[str, Any]) -> dict[str, Any]:
    """Returns a panel for a card: small type, few ticks, and no titles that the card repeats."""
    layout = panel["layout"]
    x, y = layout["xaxis"], {**layout["yaxis"], **value_axis}
    words = [text.partition("<br>n ")[0] for text in x.get("ticktext", ())]
    x = {**x, "title": {"text": ""}, "nticks": 4} | ({"ticktext": words} if words else {})
    y = {**y, "title": {"text": ""}, "nticks": 4, "dtick": 0.5 if y.get("dtick") else None}
    return {
        **panel,
        "layout": {
            **layout,
            "font": {**layout["font"], "size": 11},
            "margin": {"l": 36, "r": 8, "t": 8, "b": 24},
            "dragmode": False,
            "xaxis": x,
            "yaxis": y,
        },
    }


def _reward_axis(snapshot: Snapshot, unscored: Unscored) -> dict[str, Any]:
    """Returns an axis for all mean rewards of an experiment, so that its small figures are comparable."""

    def found() -> dict[str, Any]:
        plain, by_setting = specs.entries(dimensions(snapshot))
        asked = [_asked(entry, snapshot, unscored) for entry in (*plain, *by_setting)]
        charts = [chart(snapshot, each) for each in asked if each is not None]
        return reward_axis([panel for each in charts for panel in each.panels if panel.y == "mean reward"])

    return snapshot.remembered(("reward axis", unscored), found)
