"""The list of the command palette, for the typed text and the page on which it was opened."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from .finding import find

_LONGEST = 200


@require_safe
def palette(request: HttpRequest) -> HttpResponse:
    """Shows the groups of entries that match `q`, best first. `at` is the path of the current page."""
    groups = find(request.GET.get("q", "")[:_LONGEST], at=request.GET.get("at", ""))
    context = {"groups": groups, "count": sum(len(group.entries) for group in groups)}
    return render(request, "dashboard/palette/list.html", context)
