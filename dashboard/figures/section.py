"""The Figures section: every figure of an experiment in small. The page keeps their places, and each drawing is
loaded when it comes into view.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from rlm_runs.analysis import aggregates
from rlm_runs.models import Experiment

from .. import charts, unscored
from ..charts.context import without_version
from ..charts.small import cards, small_figure
from ..unscored import UnscoredForm
from .found import found_figure


@require_safe
def figures(request: HttpRequest, slug: str) -> HttpResponse:
    """Shows all figures of an experiment."""
    experiment = get_object_or_404(Experiment, slug=slug)
    chosen = UnscoredForm(request.GET).chosen()
    snapshot = aggregates.snapshot(experiment)
    spec = charts.FIGURES["reward"]
    opens = charts.opening_query(spec, snapshot)
    context: dict[str, Any] = {
        **_progress(snapshot),
        "section": "experiments",
        "cards": list(cards(snapshot, chosen)) if len(snapshot.arms) else [],
        "legend": charts.legend(charts.chart(snapshot, opens)) if opens and len(snapshot.arms) else (),
        "unscored_control": unscored.control(snapshot, chosen),
        "address": reverse("figures", args=[slug]),
        "custom": reverse("figure", args=[slug, "by"]),
        "summary": reverse("figure", args=[slug, "summary"]),
        "simulated": any(arm.simulated for arm in snapshot.arms),
    }
    return render(request, "dashboard/figures/section.html", context)


@require_safe
def figures_live(request: HttpRequest, slug: str) -> HttpResponse:
    """Tells a page of small figures that they changed since `version`; 204 if they did not."""
    experiment = get_object_or_404(Experiment, slug=slug)
    snapshot = aggregates.snapshot(experiment)
    if snapshot.version == request.GET.get("version"):
        return HttpResponse(status=204)
    without_version(request)
    response = render(request, "dashboard/figures/_section_poll.html", _progress(snapshot))
    response["HX-Trigger"] = "figures-changed"
    return response


@require_safe
def figure_small(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """Returns the drawing of one small figure."""
    snapshot, _, form = found_figure(request, slug, name)
    context = {"small": small_figure(snapshot, form.asked())}
    return render(request, "dashboard/charts/_small.html", context)


def _progress(snapshot: aggregates.Snapshot) -> dict[str, Any]:
    return {
        "experiment": snapshot.experiment,
        "version": snapshot.version,
        "progress": aggregates.snapshot_progress(snapshot),
    }
