"""Home: running experiments, recent results, spend, and the health of workers and models."""

from __future__ import annotations

import hashlib
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from rlm_runs.models import Experiment

from ..charts.forest import Scale
from ..polling import if_changed
from ..tables import cells
from .health import health
from .results import Result, results
from .running import Running, running
from .spend import Series, spend

_LIST = frozenset({"q", "status", "sort", "after", "before", "columns"})
"""Parameters of the list of experiments, which was formerly at this URL."""


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Shows Home. A former URL of the list of experiments redirects there."""
    if _LIST & request.GET.keys():
        return redirect(f"{reverse('experiments')}?{request.GET.urlencode()}")
    return render(request, "dashboard/home/page.html", _context(request) | {"section": "home"})


@never_cache
@require_safe
def home_live(request: HttpRequest) -> HttpResponse:
    """Returns the page's content if it differs from `version`, else 204."""
    return if_changed(request, "dashboard/home/live.html", _context(request))


@never_cache
@require_safe
def home_json(request: HttpRequest) -> JsonResponse:
    """Returns the same numbers as JSON. Costs are strings of dollars, times are ISO 8601."""
    now = timezone.now()
    found, more = running(now)
    spent, state = spend(now.date()), health(now)
    return JsonResponse(
        {
            "at": now.isoformat(),
            "running": [_running_json(each) for each in found],
            "running_more": more,
            "results": [_result_json(each) for each in results()],
            "spend": {
                "days": [day.isoformat() for day in spent.days],
                "by_model": [_series_json(each) for each in spent.by_model],
                "by_experiment": [_series_json(each) for each in spent.by_experiment],
                "unpriced_calls": spent.unpriced,
            },
            "workers": {"alive": state.workers.processes, "lost": state.workers.lost, "running": state.running},
            "models": [
                {
                    "model": cells.plain(each.name),
                    "calls": each.calls,
                    "errors": each.errors,
                    "tokens_per_second": each.tokens_per_second,
                    "cost": str(each.cost),
                    "circuit_open": each.circuit is not None,
                }
                for each in state.models
            ],
        }
    )


def _context(request: HttpRequest) -> dict[str, Any]:
    now = timezone.now()
    found, more = running(now)
    ended = results()
    parts: dict[str, Any] = {
        "running": found,
        "running_more": more,
        "results": ended,
        "scale": Scale.of(each.headline.strongest.estimate for each in ended if each.headline.strongest),
        "spend": spend(now.date()),
        "health": health(now),
        "is_empty": not found and not ended and not Experiment.objects.exists(),
    }
    content = render_to_string("dashboard/home/_content.html", parts, request=request)
    return parts | {"content": content, "version": hashlib.sha256(content.encode()).hexdigest()[:16]}


def _running_json(found: Running) -> dict[str, Any]:
    progress = found.progress
    return {
        "experiment": found.experiment.slug,
        "name": cells.plain(found.experiment.name),
        "state": found.state,
        "done": progress.done,
        "total": progress.total,
        "running": progress.running,
        "failed": progress.failed,
        "too_long": progress.too_long,
        "per_minute": progress.per_minute,
        "seconds_left": progress.seconds_left,
        "cost": str(progress.cost),
        "unpriced_calls": progress.unpriced,
    }


def _result_json(found: Result) -> dict[str, Any]:
    headline = found.headline
    best, strongest = headline.best, headline.strongest
    return {
        "experiment": found.experiment.slug,
        "name": cells.plain(found.experiment.name),
        "rollouts": headline.rollouts,
        "unscored": headline.unscored,
        "best": best
        and {"arm": cells.plain(best.name), "on": cells.plain(best.group), "reward": best.reward.mean},
        "strongest": strongest
        and {
            "arm": cells.plain(strongest.name),
            "baseline": cells.plain(strongest.baseline),
            "on": cells.plain(strongest.group),
            "difference": strongest.estimate.mean,
            "low": strongest.estimate.low,
            "high": strongest.estimate.high,
            "p": strongest.p,
        },
        "ahead": headline.ahead,
        "behind": headline.behind,
        "undecided": headline.undecided,
        "cost": str(headline.cost),
        "ended_at": headline.ended_at and headline.ended_at.isoformat(),
    }


def _series_json(series: Series) -> dict[str, Any]:
    return {
        "name": cells.plain(series.name),
        "total": str(series.total),
        "days": [str(cost) for cost in series.days],
    }
