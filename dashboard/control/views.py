"""Control of an experiment: previews and performs its actions, by page and by API."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from rlm_runs.experiments.actions import (
    ACTIONS,
    Action,
    NeedsConfirmation,
    Preview,
    Refused,
    parse,
    preview,
    take,
)
from rlm_runs.models import Experiment, Rescoring

from ..addresses import address_of
from .fields import fields_of, given_options

_LISTED = 10
"""The number of log entries on the control page."""
_MOST_BYTES = 100_000
"""The maximum size of a request body, in bytes."""


@require_safe
def control_page(request: HttpRequest, slug: str) -> HttpResponse:
    """Lists an experiment's actions, the ones under way, and the latest log entries."""
    found = get_object_or_404(Experiment, slug=slug)
    waiting = Rescoring.objects.filter(experiment=found, status__in=["queued", "running"]).count()
    context = {
        "experiment": found,
        "section": "experiments",
        "actions": [action for action in ACTIONS.values() if action.is_due(found)],
        "clone_address": address_of("launch"),
        "rescoring": waiting,
        "latest": found.actions.all()[:_LISTED],
    }
    return render(request, "dashboard/control/page.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def action_page(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """Shows an action's options and its effect in numbers. A POST performs the action."""
    found = get_object_or_404(Experiment, slug=slug)
    action = ACTIONS.get(name)
    if action is None:
        return redirect("experiment-control", slug=slug)
    if request.method != "POST":
        return _form(request, found, action, request.GET)
    try:
        options = parse(action, given_options(action, request.POST))
        confirmed = request.POST.get("confirm") == "yes"
        take(action, found, options, actor=request.user.get_username(), confirmed=confirmed)
    except NeedsConfirmation:
        return _form(request, found, action, request.POST)
    except Refused as error:
        return _form(request, found, action, request.POST, problem=str(error), status=422)
    if name == "delete":
        return redirect("experiments")
    return redirect("experiment-control", slug=slug)


def _form(
    request: HttpRequest,
    experiment: Experiment,
    action: Action,
    data: QueryDict,
    *,
    problem: str = "",
    status: int = 200,
) -> HttpResponse:
    told: Preview | None = None
    if not problem:
        try:
            told = preview(action, experiment, parse(action, given_options(action, data)))
        except Refused as error:
            # A page that was just opened has no choices yet, so missing options are not an error.
            problem = str(error) if data else ""
    context = {
        "experiment": experiment,
        "section": "experiments",
        "action": action,
        "fields": fields_of(action, experiment, data),
        "given": [(name, value) for name in action.options.model_fields for value in data.getlist(name) if value],
        "told": told,
        "problem": problem,
    }
    return render(request, "dashboard/control/action.html", context, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
def control_api(request: HttpRequest, slug: str) -> HttpResponse:
    """Lists the actions with the JSON schemas of their options (GET), or performs one (POST).

    The body is {"action": name, "confirm": true, …options}. Without `confirm`, an action that costs money or
    removes data answers 409 with its numbers, and does nothing.
    """
    found = get_object_or_404(Experiment, slug=slug)
    if request.method != "POST":
        return JsonResponse({"actions": [_described(action, found) for action in ACTIONS.values()]})
    try:
        action, options, confirmed = _asked(request)
        done = take(action, found, options, actor=request.user.get_username(), confirmed=confirmed)
    except NeedsConfirmation as asked:
        answer = {"error": 'confirm it with "confirm": true', "will": asked.preview.sentence}
        return JsonResponse(answer | {"numbers": _numbers(asked.preview)}, status=409)
    except Refused as error:
        return JsonResponse({"error": str(error)}, status=422)
    return JsonResponse({"action": action.name, "experiment": slug, "done": done})


def _asked(request: HttpRequest) -> tuple[Action, Any, bool]:
    if len(request.body) > _MOST_BYTES:
        raise Refused(f"the body may have {_MOST_BYTES:,} bytes")
    try:
        given = json.loads(request.body or b"{}")
    except ValueError as error:
        raise Refused(f"the body is not JSON: {error}") from error
    if not isinstance(given, dict):
        raise Refused("the body must be a JSON object")
    action = ACTIONS.get(str(given.pop("action", "")))
    if action is None:
        raise Refused(f"action must be one of {', '.join(ACTIONS)}")
    confirmed = given.pop("confirm", False) is True
    return action, parse(action, given), confirmed


def _described(action: Action, experiment: Experiment) -> dict[str, Any]:
    return {
        "action": action.name,
        "help": action.help,
        "is_due": action.is_due(experiment),
        "asks": action.asks,
        "options": action.options.model_json_schema().get("properties", {}),
    }


def _numbers(told: Preview) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, Decimal) else value for name, value in told.numbers.items()}
