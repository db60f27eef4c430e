"""The page of one figure, its live part, and the same as CSV and JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from rlm_runs.analysis import aggregates
from rlm_runs.analysis.aggregates import Snapshot
from rlm_runs.analysis.aggregates.dimensions import Level, dimensions, grouped

from .. import charts
from .. import unscored as unscored_rollouts
from ..charts import FigureForm, FigureQuery, Spec
from ..charts.context import figure_context, gallery, without_version
from ..comparison_query import arm_titles
from ..formatting import alike
from ..permissions import sees_experiment
from ..query_params import whole_number
from .found import found_figure

_ROWS = 100
"""The maximum number of rows in the table under a figure. Its CSV has all."""
_JSON_ROWS = 400
_NARROWING = 60


@dataclass(frozen=True)
class Control:
    """One choice of a figure. `before` is its label."""

    name: str
    before: str
    choices: list[tuple[str, str]]
    value: str


@require_safe
def figure(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """Shows one figure with its numbers and their counts."""
    return render(request, "dashboard/figures/page.html", _context(request, *found_figure(request, slug, name)))


@require_safe
def figure_live(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """Returns the parts of a figure's page that changed since `version`; 204 if none did."""
    snapshot, spec, form = found_figure(request, slug, name)
    if snapshot.version == request.GET.get("version"):
        return HttpResponse(status=204)
    without_version(request)
    return render(request, "dashboard/figures/live.html", _context(request, snapshot, spec, form))


@require_safe
def figure_csv(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """Returns all numbers of the figure as CSV, a line per point."""
    snapshot, _, form = found_figure(request, slug, name)
    asked = form.asked()
    if form.errors:
        return HttpResponse("\n".join(_errors(form)), status=400, content_type="text/plain; charset=utf-8")
    response = HttpResponse(charts.as_csv(charts.chart(snapshot, asked)), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{slug}-{name}.csv"'
    return response


@require_safe
def figure_json(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """Returns the same as JSON: the choices in full, and up to 400 rows from `start` on.

    `left_off` is the number of further rows, and `next` is their URL.
    """
    snapshot, spec, form = found_figure(request, slug, name)
    asked = form.asked()
    if form.errors:
        return JsonResponse({"errors": _errors(form)}, status=400)
    start = whole_number(request, "start", default=0, least=0)
    chart = charts.chart(snapshot, asked)
    rows = list(charts.rows(chart))[start:]
    left_off = max(0, len(rows) - _JSON_ROWS)
    following = request.GET.copy()
    following["start"] = str(start + _JSON_ROWS)
    return JsonResponse(
        {
            "experiment": slug,
            "figure": spec.name,
            "title": chart.title,
            "question": spec.question,
            "caption": charts.caption(chart),
            "asked": _as_query(asked),
            "version": snapshot.version,
            "left_off": left_off,
            "next": f"{request.path}?{following.urlencode()}" if left_off else None,
            "rows": rows[:_JSON_ROWS],
        }
    )


def _context(request: HttpRequest, snapshot: Snapshot, spec: Spec, form: FigureForm) -> dict[str, Any]:
    asked = form.asked()
    chart = charts.chart(snapshot, asked)
    rows = list(charts.rows(chart))
    experiment = snapshot.experiment
    query = urlencode(_as_query(asked), doseq=True)
    drawn = figure_context(snapshot, chart)
    if not sees_experiment(request):
        drawn["figure"]["rollouts"] = ""
    return {
        "section": "experiments",
        "experiment": experiment,
        "spec": spec,
        "asked": asked,
        "errors": _errors(form),
        "controls": _controls(snapshot, spec, asked, form),
        "arms": [
            (arm, title, arm.pk in asked.arms) for arm, title in zip(snapshot.arms, _titles(snapshot), strict=True)
        ],
        "rows": [
            {**row, "look": point.series, "numbers": alike((row["mean"], row["low"], row["high"]))}
            for row, point in zip(rows[:_ROWS], chart.points, strict=False)
        ],
        "more_rows": max(0, len(rows) - _ROWS),
        "has_facets": len({row["panel"] for row in rows}) > 1,
        "has_measures": len({row["measure"] for row in rows}) > 1,
        "has_tests": any(row["p"] is not None for row in rows),
        "has_plain": any(row["plain"] is not None for row in rows),
        "has_x": any(row["x"] is not None for row in rows),
        "version": snapshot.version,
        "progress": aggregates.snapshot_progress(snapshot),
        "unscored": asked.unscored,
        "unscored_control": unscored_rollouts.control(snapshot, asked.unscored),
        "address": reverse("figure", args=[experiment.slug, spec.name]),
        "permanent": f"{reverse('figure', args=[experiment.slug, spec.name])}?{query}",
        "csv": f"{reverse('figure-csv', args=[experiment.slug, spec.name])}?{query}",
        "json": f"{reverse('figure-json', args=[experiment.slug, spec.name])}?{query}",
        "embed": request.GET.get("embed") == "1",
        "absolute": request.build_absolute_uri(reverse("figure", args=[experiment.slug, spec.name])),
        "query_in_full": query,
        "gallery": gallery(snapshot, asked.unscored, name=spec.name),
        "simulated": chart.simulated,
        **drawn,
    }


def _titles(snapshot: Snapshot) -> list[str]:
    """Returns the title of each arm in the choice of arms."""
    return snapshot.remembered("titles", lambda: arm_titles(snapshot.arms))


def _errors(form: FigureForm) -> list[str]:
    return [
        f"{name}: {message}" if name != "__all__" else str(message)
        for name, messages in form.errors.items()
        for message in messages
    ]


def _as_query(asked: FigureQuery) -> dict[str, Any]:
    """Returns the whole state of a figure, so that its URL keeps its meaning when defaults change."""
    return {
        "measure": [part.measure for part in asked.parts] if _is_plain(asked) else [],
        "by": asked.by,
        "series": asked.series,
        "facet": asked.facet,
        "form": asked.form,
        "unscored": asked.unscored.value,
        "bins": asked.bins,
        **({"scale": asked.scale} if asked.scale else {}),
        "arm": list(asked.arms),
        "where": [f"{name}:{value}" for name, value in asked.where],
    }


def _is_plain(asked: FigureQuery) -> bool:
    """Returns whether the measures can be chosen, unlike those of a breakdown or ratio."""
    return {part.kind for part in asked.parts} in ({"mean"}, {"lift"}, {"tradeoff"})


def _controls(snapshot: Snapshot, spec: Spec, asked: FigureQuery, form: FigureForm) -> list[Control]:
    known = dimensions(snapshot)
    named = [(name, each.title) for name, each in known.items()]
    own = "default"
    measures = [part.measure for part in asked.parts] if asked.parts != spec.parts else [""]
    controls = [
        Control("measure", "Measure", [("", own), *form.measure_choices], measures[0]),
        Control("by", "Group by", named, asked.by),
        Control("series", "Colour", [*named, ("none", "none")], asked.series),
        Control("facet", "Panels", [("rest", "all other differences"), ("none", "none"), *named], asked.facet),
    ]
    if known[asked.by].numeric:
        controls.append(Control("form", "Form", list(form.FORMS), asked.form))
    if known[asked.by].level is Level.EXAMPLE and known[asked.by].numeric:
        controls.append(
            Control("bins", "Bins", [(str(n), f"{n} bins") for n in (3, 5, 8, 10, 20)], str(asked.bins))
        )
    if asked.form != "bars" or any(part.kind == "tradeoff" for part in asked.parts):
        controls.append(Control("scale", "Scale", [("", "automatic"), *form.SCALES], asked.scale))
    narrowing = _narrowing(snapshot)
    if narrowing:
        controls.append(Control("where", "Only", [("", "all rollouts"), *narrowing], _first_where(asked)))
    return controls


def _first_where(asked: FigureQuery) -> str:
    return ":".join(asked.where[0]) if asked.where else ""


def _narrowing(snapshot: Snapshot) -> list[tuple[str, str]]:
    """Returns values of dimensions by which a figure can be filtered."""
    return snapshot.remembered("narrowing", lambda: _values(snapshot)[:_NARROWING])


def _values(snapshot: Snapshot) -> list[tuple[str, str]]:
    frame = snapshot.frame()
    found = []
    for name, dimension in dimensions(snapshot).items():
        is_number = dimension.numeric and dimension.level is Level.EXAMPLE
        if is_number or name in ("group", "variant", "outcome", "stop", "rep"):
            continue
        values = grouped(snapshot, dimension, frame=frame).values
        is_choice = len(values) > 1
        found += [(f"{name}:{value.label}", f"{dimension.title} {value.label}") for value in values if is_choice]
    return found
