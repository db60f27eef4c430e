"""Completions of filters, and saved views of tables."""

from __future__ import annotations

from dataclasses import asdict
from urllib.parse import urlencode

from django.contrib.auth.models import User
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, JsonResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST, require_safe

from rlm_runs.analysis import filters
from rlm_runs.analysis.filters.language import MOST_CHARS
from rlm_runs.models import Experiment, SavedView
from rlm_runs.models.texts import escape

from ..query_params import whole_number

_TABLES = {"rollouts", "experiments"}
_KEPT = ("q", "status", "sort", "columns")


@require_safe
def completions(request: HttpRequest) -> HttpResponse:
    """Returns completions as JSON. `q` is the query so far, `at` is the cursor position in it."""
    q = request.GET.get("q", "")[:MOST_CHARS]
    at = whole_number(request, "at", default=len(q), least=0)
    slug = escape(request.GET.get("experiment", ""))  # no column can be compared with a NUL
    experiment = get_object_or_404(Experiment.objects.only("pk"), slug=slug) if slug else None
    return JsonResponse(asdict(filters.complete(q, min(at, len(q)), experiment=experiment)))


@require_POST
def save_view(request: HttpRequest) -> HttpResponse:
    """Saves the state of a table under a name. The same name replaces the earlier view."""
    table, name = request.POST.get("table", ""), request.POST.get("name", "").strip()
    if table not in _TABLES or not name or len(name) > 80 or "\x00" in name:
        raise BadRequest("a view needs a name of at most 80 characters, and a table")
    given = QueryDict(request.POST.get("query", "")[: 3 * MOST_CHARS])
    query = urlencode({part: given[part] for part in _KEPT if given.get(part)})
    assert isinstance(request.user, User)
    SavedView.objects.update_or_create(user=request.user, table=table, name=name, defaults={"query": query})
    return _back(request, query)


@require_POST
def delete_view(request: HttpRequest, pk: int) -> HttpResponse:
    """Deletes a view of the user."""
    get_object_or_404(SavedView, pk=pk, user=request.user.pk).delete()
    return _back(request, QueryDict(request.POST.get("query", "")).urlencode())


def _back(request: HttpRequest, query: str) -> HttpResponse:
    """Redirects to the list from which the request came."""
    path = request.POST.get("back", "")
    if not url_has_allowed_host_and_scheme(path, allowed_hosts=None) or not path.startswith("/") or "?" in path:
        raise BadRequest("back must be a path of this site")
    return redirect(f"{path}?{query}" if query else path)
