"""The log of an experiment: each action with its author and time, newest first."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from rlm_runs.models import Experiment, ExperimentAction
from rlm_runs.models.texts import unescape

from ..pagination import BadCursor, Column, Page, keyset_page
from ..query_params import whole_number
from ..tables import exports
from ..tables.query import Problem

_COLUMNS = {"when": Column("pk")}
_PAGE = 50
_MOST_OF_API = 200
_NOTHING: Page[ExperimentAction] = Page(rows=(), before="", after="")


@require_safe
def log_page(request: HttpRequest, slug: str) -> HttpResponse:
    """Shows the actions on an experiment."""
    found = get_object_or_404(Experiment.objects.defer("spec", "sources"), slug=slug)
    try:
        page, problem = _page(request, found, size=_PAGE), ""
    except BadCursor:
        page, problem = _NOTHING, "This page of the log does not exist."
    context = {"experiment": found, "section": "experiments", "page": page, "problem": problem}
    return render(request, "dashboard/log/page.html", context)


@require_safe
def log_json(request: HttpRequest, slug: str) -> HttpResponse:
    """Returns one page of actions as JSON, with the URLs of the next and the previous page."""
    found = get_object_or_404(Experiment.objects.defer("spec", "sources"), slug=slug)
    size = whole_number(request, "limit", default=_PAGE, most=_MOST_OF_API)
    try:
        page = _page(request, found, size=size)
    except BadCursor:
        return exports.problem_response(Problem("there is no such page of the log", parameter="after"))
    return JsonResponse(
        {
            "rows": [_row(action) for action in page.rows],
            "next": _address(request, "after", page.after),
            "previous": _address(request, "before", page.before),
        }
    )


def _page(request: HttpRequest, experiment: Experiment, *, size: int) -> Page[ExperimentAction]:
    after, before = request.GET.get("after", ""), request.GET.get("before", "")
    actions = experiment.actions.order_by()
    return keyset_page(actions, columns=_COLUMNS, sort="-when", after=after, before=before, size=size)


def _row(action: ExperimentAction) -> dict[str, Any]:
    return {
        "at": exports.json_value(action.at),
        "actor": unescape(action.actor),
        "action": unescape(action.action),
        "details": action.details,
    }


def _address(request: HttpRequest, name: str, cursor: str) -> str | None:
    if not cursor:
        return None
    query = request.GET.copy()
    query.pop("after", None)
    query.pop("before", None)
    query[name] = cursor
    return f"{request.path}?{query.urlencode()}"
