"""The context of pages with charts: the drawn figure, links to the others, and live updates."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse

from rlm_runs.analysis.aggregates import Snapshot, Unscored
from rlm_runs.analysis.aggregates.dimensions import dimensions

from ..addresses import address_of
from . import specs
from .captions import caption
from .legends import legend, shades, shapes
from .numbers import Chart
from .plots import plotted

_COMPARED = 12
"""The maximum number of arms in the link to the comparison, as many as fit side by side."""


def without_version(request: HttpRequest) -> None:
    """Removes the version of a live request from the query string that the page's links repeat."""
    query = request.GET.copy()
    query.pop("version", None)
    request.GET = query  # type: ignore[assignment]  # a mutable QueryDict reads the same


def figure_context(snapshot: Snapshot, chart: Chart) -> dict[str, Any]:
    """Returns what the templates need to draw a figure."""
    entries, drawn = legend(chart), plotted(chart)
    words = caption(chart)
    if drawn.left_away:
        words += f" {drawn.left_away:,} more points have no room here: narrow the figure, or take the CSV."
    return {
        "chart": chart,
        "caption": words,
        "legend": entries,
        "shapes": shapes(chart),
        "shades": shades(chart),
        "figure": {
            "title": chart.title,
            "caption": words,
            "rollouts": reverse("experiment-rollouts", args=[snapshot.experiment.slug]),
            "legend": [
                {"name": each.name, "colour": each.colour, "pattern": each.pattern, "mark": each.mark}
                for each in entries
            ],
            "shades": [{"name": name, "opacity": opacity, "mark": "■"} for name, opacity in shades(chart)],
            "shapes": [{"name": each.name, "mark": each.mark} for each in shapes(chart)],
            "panels": drawn.panels,
        },
    }


def gallery(snapshot: Snapshot, unscored: Unscored, *, name: str = "") -> dict[str, Any]:
    """Returns links to all figures of the experiment, with the current treatment of unscored rollouts."""
    plain, by_setting = specs.entries(dimensions(snapshot))
    kept = {} if unscored is Unscored.EXCLUDE else {"unscored": unscored.value}

    def link(entry: specs.Entry) -> dict[str, Any]:
        address = address_of("figure", snapshot.experiment.slug, entry.spec.name)
        query = urlencode({**({"by": entry.by} if entry.by else {}), **kept})
        is_here = entry.spec.name == name and not entry.by
        return {"label": entry.label, "address": f"{address}?{query}" if query else address, "is_here": is_here}

    has_page = bool(address_of("figure", snapshot.experiment.slug, "by"))
    return {
        "plain": [link(entry) for entry in plain] if has_page else [],
        "by_setting": [link(entry) for entry in by_setting] if has_page else [],
    }


def compared_arms(snapshot: Snapshot) -> str:
    """Returns the query string that compares the arms of an experiment; "" with one arm."""
    arms = [arm.pk for arm in snapshot.arms][:_COMPARED]
    return urlencode({"arm": arms}, doseq=True) if len(arms) > 1 else ""
