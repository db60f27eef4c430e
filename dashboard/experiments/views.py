"""Experiments: the list, one experiment, its live updates, and its cancellation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from rlm_runs.analysis import aggregates
from rlm_runs.analysis.aggregates import Snapshot, Unscored
from rlm_runs.execution import control
from rlm_runs.models import Experiment

from .. import charts, early_stopping
from .. import unscored as unscored_rollouts
from ..addresses import address_of
from ..charts.context import compared_arms, figure_context, without_version
from ..charts.small import cards_at_a_glance
from ..pagination import BadCursor, Page, in_order, keyset_page
from ..query_params import whole_number
from ..tables import exports
from ..tables.query import Problem, TableQuery, parse_query
from ..unscored import UnscoredForm
from . import numbers, verdicts, waits
from .forms import ExperimentFilters
from .table import EXPERIMENTS, rows_of
from .waits import OpenCircuit

_KEPT = ("q", "status", "tag", "owner", "sort")
_PAGE = 25
_MOST_OF_API = 100


@require_safe
def experiment_list(request: HttpRequest) -> HttpResponse:
    """Shows all experiments, newest first."""
    filters = ExperimentFilters(request.GET)
    wanted = parse_query(request.GET, EXPERIMENTS)
    page = _page(filters, wanted, size=_PAGE)
    query = urlencode({name: value for name in _KEPT if (value := request.GET.get(name))})
    context = {
        "section": "experiments",
        "filters": filters,
        "asked": wanted,
        "sort": wanted.sort,
        "page": page,
        "rows": rows_of(page.rows),
        "csv": f"{reverse('experiments-csv')}?{query}",
        "json": f"{reverse('api-experiments')}?{query}",
        **filters.choices(),
        "is_empty": not page.rows and not Experiment.objects.exists(),
    }
    return render(request, "dashboard/experiments/list.html", context)


@require_safe
def experiments_csv(request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
    """Streams all experiments as CSV, computed in batches."""
    filters, wanted = ExperimentFilters(request.GET), parse_query(request.GET, EXPERIMENTS)
    if problem := _problem(filters, wanted):
        return exports.problem_response(problem)
    parts = in_order(_found(filters), columns=wanted.orders, sort=wanted.sort)
    rows = (row for part in exports.batched(exports.streamed(parts), _PAGE) for row in rows_of(part))
    return exports.csv_response(tuple(EXPERIMENTS.columns.values()), rows, name="experiments")


@require_safe
def experiments_json(request: HttpRequest) -> HttpResponse:
    """Returns a page of experiments as JSON, with the URLs of the next and the previous page."""
    filters, wanted = ExperimentFilters(request.GET), parse_query(request.GET, EXPERIMENTS)
    page = _page(filters, wanted, size=whole_number(request, "limit", default=_PAGE, most=_MOST_OF_API))
    if problem := _problem(filters, wanted):
        return exports.problem_response(problem)
    return exports.json_page(request, tuple(EXPERIMENTS.columns.values()), page, rows_of(page.rows))


def _found(filters: ExperimentFilters) -> QuerySet[Experiment]:
    return filters.narrow(
        Experiment.objects.select_related("created_by").prefetch_related("tags").defer("spec", "sources")
    ).annotate(simulated_arms=Count("arms", filter=Q(arms__simulated=True)))


def _page(filters: ExperimentFilters, wanted: TableQuery, *, size: int) -> Page[Experiment]:
    nothing: Page[Experiment] = Page(rows=(), before="", after="")
    if _problem(filters, wanted):
        return nothing
    after, before = wanted.after, wanted.before
    try:
        return keyset_page(
            _found(filters), columns=wanted.orders, sort=wanted.sort, after=after, before=before, size=size
        )
    except BadCursor:
        filters.add_error(None, "This page of the list does not exist. Start at the first one.")
        return nothing


def _problem(filters: ExperimentFilters, wanted: TableQuery) -> Problem | None:
    """Returns the first problem of the request, which the page shows in the form; None without one."""
    if wanted.problem and filters.is_valid():
        filters.add_error(None, wanted.problem.message)
    if filters.is_valid():
        return None
    if wanted.problem:
        return wanted.problem
    name, errors = next(iter(filters.errors.items()))
    return Problem(str(errors[0]), parameter=name.replace("__all__", "after"))


@require_safe
def experiment(request: HttpRequest, slug: str) -> HttpResponse:
    """Shows which scaffold wins where, and at what price."""
    arms = address_of("experiment-arms", slug)
    if arms and "sort" in request.GET:  # the arms were on this page
        return redirect(f"{arms}?{request.GET.urlencode()}")
    found = get_object_or_404(Experiment.objects.select_related("created_by"), slug=slug)
    return render(request, "dashboard/experiments/detail.html", _context(request, found))


@require_safe
def experiment_live(request: HttpRequest, slug: str) -> HttpResponse:
    """Returns the parts of the page that changed since `version`; 204 if none did."""
    found = get_object_or_404(Experiment, slug=slug)
    if _version(aggregates.snapshot(found), waits.open_circuits(found)) == request.GET.get("version"):
        return HttpResponse(status=204)
    without_version(request)
    response = render(request, "dashboard/experiments/live.html", _context(request, found))
    response["HX-Trigger"] = "figures-changed"
    return response


@require_POST
def experiment_cancel(request: HttpRequest, slug: str) -> HttpResponse:
    """Cancels the unfinished rollouts."""
    found = get_object_or_404(Experiment, slug=slug)
    control.cancel(found, actor=request.user.get_username())
    return redirect(found)


@require_POST
def experiment_pause(request: HttpRequest, slug: str) -> HttpResponse:
    """Pauses the experiment."""
    found = get_object_or_404(Experiment, slug=slug)
    control.pause(found, actor=request.user.get_username())
    return redirect(found)


@require_POST
def experiment_resume(request: HttpRequest, slug: str) -> HttpResponse:
    """Resumes the experiment."""
    found = get_object_or_404(Experiment, slug=slug)
    control.resume(found, actor=request.user.get_username())
    return redirect(found)


def _context(request: HttpRequest, experiment: Experiment) -> dict[str, Any]:
    unscored = UnscoredForm(request.GET).chosen()
    snapshot = aggregates.snapshot(experiment)
    summary = aggregates.summary(snapshot, unscored=unscored)
    found = verdicts.verdicts(summary)
    waiting = waits.waits_of(experiment)
    progress = aggregates.snapshot_progress(snapshot)
    uncertain = sum(aggregates.uncertain_tokens(snapshot).values(), aggregates.UncertainTokens())
    return {
        "experiment": experiment,
        "version": _version(snapshot, waiting.circuits),
        "waits": waiting,
        "progress": progress,
        "numbers": numbers.numbers(
            summary, progress, slug=experiment.slug, is_estimated=bool(uncertain.estimated)
        ),
        "bill": aggregates.provider_bill(snapshot),
        "uncertain": uncertain,
        "summary": summary,
        "in_short": verdicts.headline(summary),
        "verdicts": found,
        "scale": verdicts.forest_scale(found),
        "early": early_stopping.section(snapshot, summary),
        "section": "experiments",
        "simulated": any(arm.simulated for arm in summary.arms),
        "unscored_control": unscored_rollouts.control(snapshot, unscored),
        "cards": cards_at_a_glance(snapshot, unscored),
        "compared": compared_arms(snapshot),
        **_headline(snapshot, unscored),
    }


def _version(snapshot: Snapshot, circuits: Sequence[OpenCircuit]) -> str:
    """Returns a version that changes with anything that the page shows."""
    return f"{snapshot.version}-{waits.version_of(snapshot.experiment, circuits)}"


def _headline(snapshot: Snapshot, unscored: Unscored) -> dict[str, Any]:
    spec = charts.FIGURES["reward"]
    opens = charts.opening_query(spec, snapshot)
    assert opens is not None, "every experiment has arms to plot by"
    chart = charts.chart(snapshot, replace(opens, unscored=unscored))
    return {
        **figure_context(snapshot, chart),
        "address": snapshot.experiment.get_absolute_url(),
    }
