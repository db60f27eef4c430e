"""The Arms section: every arm in numbers, sorted by any of them, and pass rates of repeated rollouts."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from rlm_runs.analysis import aggregates
from rlm_runs.models import Experiment

from .. import unscored
from ..charts.context import without_version
from .forms import ArmsForm


@require_safe
def arms_page(request: HttpRequest, slug: str) -> HttpResponse:
    """Shows the arms of an experiment."""
    found = get_object_or_404(Experiment, slug=slug)
    return render(request, "dashboard/arms/page.html", _context(request, found))


@require_safe
def arms_live(request: HttpRequest, slug: str) -> HttpResponse:
    """Returns the tables if anything changed since `version`; 204 if nothing did."""
    found = get_object_or_404(Experiment, slug=slug)
    if aggregates.snapshot(found).version == request.GET.get("version"):
        return HttpResponse(status=204)
    without_version(request)
    return render(request, "dashboard/arms/live.html", _context(request, found))


def _context(request: HttpRequest, experiment: Experiment) -> dict[str, Any]:
    form = ArmsForm(request.GET)
    chosen = form.chosen()
    snapshot = aggregates.snapshot(experiment)
    summary = aggregates.summary(snapshot, unscored=chosen)
    return {
        "section": "experiments",
        "experiment": experiment,
        "version": snapshot.version,
        "progress": aggregates.snapshot_progress(snapshot),
        "summary": summary,
        "arms": form.in_order(summary.arms),
        "sort": form.sorted_by(),
        "pass_rates": aggregates.pass_rates(snapshot, unscored=chosen),
        "has_differences": any(key != "model" for arm in summary.arms for key, _ in arm.differs),
        "has_models": len({arm.model for arm in summary.arms}) > 1,
        "simulated": any(arm.simulated for arm in summary.arms),
        "unscored_control": unscored.control(snapshot, chosen),
        "address": reverse("experiment-arms", args=[experiment.slug]),
    }
