"""The Models page, its fragment for updates, the same as JSON, and the request for a probe."""

from __future__ import annotations

import hashlib
from typing import Any

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, JsonResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from rlm_runs.execution import probe_queue
from rlm_runs.execution.endpoints import find_model
from rlm_runs.models import ModelProbe
from rlm_runs.models.texts import unescape

from ..addresses import address_of
from ..polling import if_changed
from .overview import Calls, EndpointRows, ModelRow, Period, overview
from .tags import errors_query, rollouts_query


@require_safe
def models(request: HttpRequest) -> HttpResponse:
    """Shows the endpoints and their models."""
    return render(request, "dashboard/served_models/page.html", _context(request) | {"section": "models"})


@never_cache
@require_safe
def models_live(request: HttpRequest) -> HttpResponse:
    """Returns the page's tables if they differ from `version`, else 204."""
    return if_changed(request, "dashboard/served_models/live.html", _context(request))


@require_POST
def probe(request: HttpRequest) -> HttpResponse:
    """Requests a probe of a model, unless one is under way."""
    user = request.user
    assert isinstance(user, User)
    choice = find_model(request.POST.get("model", ""))
    if choice is None:
        return HttpResponseBadRequest("There is no such model in the endpoints file.")
    probe_queue.request(choice, user=user)
    return redirect(f"{address_of('models')}#{choice.endpoint.name}")


@never_cache
@require_safe
def models_json(request: HttpRequest) -> JsonResponse:
    """Returns the same as JSON. Dollars are decimal strings; prices are per million tokens."""
    found = overview()
    return JsonResponse(
        {
            "at": found.at.isoformat(),
            "endpoints": [_endpoint_json(rows) for rows in found.endpoints],
            "former": [{"model": name, **_calls_json(calls)} for name, calls in found.former],
        }
    )


def _context(request: HttpRequest) -> dict[str, Any]:
    context = {"overview": overview()}
    tables = render_to_string("dashboard/served_models/_tables.html", context, request=request)
    version = hashlib.sha256(tables.encode()).hexdigest()[:16]
    return context | {"tables": tables, "version": version}


def _endpoint_json(rows: EndpointRows) -> dict[str, Any]:
    endpoint = rows.endpoint
    return {
        "name": endpoint.name,
        "title": endpoint.title,
        "simulated": endpoint.simulated,
        "provider": rows.provider,
        "missing": endpoint.missing,
        "limits": endpoint.model_dump(include=_LIMITS),
        "models": [_model_json(row) for row in rows.models],
    }


_LIMITS = {"concurrency", "requests_per_minute", "tokens_per_minute"}


def _model_json(row: ModelRow) -> dict[str, Any]:
    known = row.price
    return {
        "name": row.name,
        "window": row.window,
        "window_from": row.window_from,
        "limits": row.choice.served.model_dump(include=_LIMITS),
        "price": known
        and {
            **known.price.model_dump(mode="json"),
            "version": known.version,
            "since": known.since and known.since.isoformat(),
        },
        **_calls_json(row.calls),
        "rollouts": f"{address_of('api-rollouts')}?{rollouts_query(row.name)}",
        "errors": f"{address_of('api-rollouts')}?{errors_query(row.name)}",
        "probe": row.probe and _probe_json(row.probe),
    }


def _calls_json(calls: Calls) -> dict[str, Any]:
    return {
        "last_call_at": calls.last_at and calls.last_at.isoformat(),
        "day": _period_json(calls.day),
        "week": _period_json(calls.week),
        "calls": calls.calls,
        "unpriced": calls.unpriced,
        "spend": str(calls.spend),
        "provider_cost": str(calls.provider_cost),
    }


def _period_json(period: Period) -> dict[str, Any]:
    return {
        "calls": period.calls,
        "errors": period.errors,
        "error_rate": period.error_rate,
        "tokens_per_second": period.tokens_per_second,
    }


def _probe_json(probe: ModelProbe) -> dict[str, Any]:
    return {
        "requested_at": probe.requested_at.isoformat(),
        "finished_at": probe.finished_at and probe.finished_at.isoformat(),
        "findings": [{name: unescape(str(text)) for name, text in finding.items()} for finding in probe.findings],
        "window": probe.window,
        "error": unescape(probe.error),
    }
