"""The behaviour page: how each arm used its REPL. Its numbers are also available as CSV and JSON."""

from __future__ import annotations

import csv
from dataclasses import replace
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from rlm_runs.analysis.aggregates.behaviour import ARMS_AT_ONCE, PARTS, Behaviour, behaviour
from rlm_runs.analysis.aggregates.snapshot import snapshot
from rlm_runs.analysis.failure_modes import FAILURE_MODES
from rlm_runs.models import Experiment

from .. import unscored
from ..formatting import no_formula
from ..query_params import whole_number
from ..unscored import UnscoredForm
from .differences import Folded, folded, largest, whole_time
from .plots import differences_figure, legend, time_figure, use_figure
from .tables import FIELDS, records, tables

_DIFFERENCES = 6
"""Figures at the top of the page."""


@require_safe
def behaviour_page(request: HttpRequest, slug: str) -> HttpResponse:
    """Shows the arms' use of the REPL, stop reasons, failure modes and times."""
    experiment, found = _found(request, slug)
    first = whole_number(request, "from", default=1)
    shown = replace(found, arms=found.arms[first - 1 : first - 1 + ARMS_AT_ONCE])
    use, modes, stops, times = tables(shown)
    # Stop reasons are the scaffold's own, and so are the parts of the time: arms differ there by their nature.
    differing = largest([use, modes, whole_time(times)], most=_DIFFERENCES)
    rollouts = reverse("experiment-rollouts", args=[slug])
    context: dict[str, Any] = {
        "section": "experiments",
        "experiment": experiment,
        "behaviour": found,
        "arms": shown.arms,
        "first": first,
        "last": first - 1 + len(shown.arms),
        "before": max(first - ARMS_AT_ONCE, 1) if first > 1 else None,
        "after": first + ARMS_AT_ONCE if first + ARMS_AT_ONCE <= len(found.arms) else None,
        "rollouts": rollouts,
        "differing": differing,
        "differences_figure": differences_figure(differing) | {"rollouts": rollouts},
        "use": folded(use),
        "modes": folded(modes),
        "meanings": [(mode.title, mode.explanation) for mode in FAILURE_MODES.values()],
        "stops": folded(stops),
        "times": times,
        "timed": Folded(times, ()),
        "use_figure": use_figure(use) | {"rollouts": rollouts},
        "legend": dict.fromkeys(entry for table in (use, modes) for entry in legend(table)),
        "time_figure": time_figure(times) | {"rollouts": rollouts},
        "parts": PARTS,
        "unscored_control": unscored.control(snapshot(experiment), found.unscored),
    }
    return render(request, "dashboard/behaviour/page.html", context)


@require_safe
def behaviour_csv(request: HttpRequest, slug: str) -> HttpResponse:
    """Returns every number of the page as CSV, one per line."""
    _, found = _found(request, slug)
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{slug}-behaviour.csv"'
    writer = csv.DictWriter(response, FIELDS)
    writer.writeheader()
    for record in records(tables(found)):
        writer.writerow({name: no_formula(v) if isinstance(v, str) else v for name, v in record.items()})
    return response


@require_safe
def behaviour_json(request: HttpRequest, slug: str) -> JsonResponse:
    """Returns the same as JSON, some arms at a time. `next` is the position of the next part."""
    experiment, found = _found(request, slug)
    first = whole_number(request, "from", default=1)
    shown = replace(found, arms=found.arms[first - 1 : first - 1 + ARMS_AT_ONCE])
    return JsonResponse(
        {
            "experiment": experiment.slug,
            "unscored": found.unscored.value,
            "rollouts": found.total,
            "ended": found.ended,
            "arms": len(found.arms),
            "next": first + ARMS_AT_ONCE if first + ARMS_AT_ONCE <= len(found.arms) else None,
            "numbers": list(records(tables(shown))),
        }
    )


def _found(request: HttpRequest, slug: str) -> tuple[Experiment, Behaviour]:
    experiment = get_object_or_404(Experiment, slug=slug)
    chosen = UnscoredForm(request.GET).chosen()
    return experiment, behaviour(snapshot(experiment), unscored=chosen)
