"""Experiments: the list, one experiment, its live part, and cancelling it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from rlm_runs import aggregates, claims
from rlm_runs.aggregates import Snapshot, Unscored
from rlm_runs.models import Experiment

from .. import figures, words
from ..forms import ExperimentFilters, ExperimentView
from ..pagination import BadCursor, Column, Page, keyset_page
from .figures import gallery, progress_of, shown, without_version

_COLUMNS = {"created": Column("pk")}
_PAGE = 25


@require_safe
def experiment_list(request: HttpRequest) -> HttpResponse:
    """All experiments, newest first."""
    filters = ExperimentFilters(request.GET)
    page: Page[Experiment] = Page(rows=(), before="", after="")
    if filters.is_valid():
        page = _page(filters)
    progress = aggregates.progress_by_experiment(page.rows)
    best = aggregates.best_arms(page.rows)
    rows = [
        {"experiment": experiment, "progress": progress[experiment.pk], "best": best.get(experiment.pk)}
        for experiment in page.rows
    ]
    context = {
        "section": "experiments",
        "filters": filters,
        "page": page,
        "rows": rows,
        "is_empty": not page.rows and not Experiment.objects.exists(),
    }
    return render(request, "dashboard/experiment_list.html", context)


def _page(filters: ExperimentFilters) -> Page[Experiment]:
    experiments = filters.narrow(Experiment.objects.select_related("created_by").defer("spec")).annotate(
        simulated_arms=Count("arms", filter=Q(arms__simulated=True))
    )
    after, before = filters.cleaned_data["after"], filters.cleaned_data["before"]
    try:
        return keyset_page(experiments, columns=_COLUMNS, sort="-created", after=after, before=before, size=_PAGE)
    except BadCursor:
        filters.add_error(None, "This page of the list does not exist. Start at the first one.")
        return Page(rows=(), before="", after="")


@require_safe
def experiment(request: HttpRequest, slug: str) -> HttpResponse:
    """Which scaffold wins where, and at what price."""
    found = get_object_or_404(Experiment.objects.select_related("created_by"), slug=slug)
    return render(request, "dashboard/experiment.html", _context(request, found))


@require_safe
def experiment_live(request: HttpRequest, slug: str) -> HttpResponse:
    """What changed on the experiment's page since `version`; 204 where nothing did."""
    found = get_object_or_404(Experiment, slug=slug)
    if aggregates.snapshot(found).version == request.GET.get("version"):
        return HttpResponse(status=204)
    without_version(request)
    return render(request, "dashboard/experiment_live.html", _context(request, found))


@require_POST
def experiment_cancel(request: HttpRequest, slug: str) -> HttpResponse:
    """Cancels what has not ended."""
    found = get_object_or_404(Experiment, slug=slug)
    claims.cancel_experiment(found)
    return redirect(found)


def _context(request: HttpRequest, experiment: Experiment) -> dict[str, Any]:
    asked = ExperimentView(request.GET)
    unscored = asked.chosen()
    snapshot = aggregates.snapshot(experiment)
    summary = aggregates.summary(snapshot, unscored=unscored)
    return {
        "experiment": experiment,
        "version": snapshot.version,
        "progress": progress_of(snapshot),
        "summary": summary,
        "arms": asked.in_order(summary.arms),
        "sort": asked.sorted_by(),
        "in_short": words.in_short(summary),
        "verdicts": words.verdicts(summary),
        "pass_rates": aggregates.pass_rates(snapshot, unscored=unscored),
        "has_differences": any(key != "model" for arm in summary.arms for key, _ in arm.differs),
        "has_models": len({arm.model for arm in summary.arms}) > 1,
        "section": "experiments",
        "simulated": any(arm.simulated for arm in summary.arms),
        **_headline(snapshot, unscored),
    }


def _headline(snapshot: Snapshot, unscored: Unscored) -> dict[str, Any]:
    spec = figures.FIGURES["reward"]
    opens = figures.opening(spec, snapshot)
    assert opens is not None, "every experiment has arms to plot by"
    chart = figures.chart(snapshot, replace(opens, unscored=unscored))
    return {
        **shown(snapshot, chart),
        "gallery": gallery(snapshot, unscored),
        "address": snapshot.experiment.get_absolute_url(),
    }
