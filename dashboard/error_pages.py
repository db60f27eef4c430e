"""Error responses. They state the reason, as a page, or as JSON below `/api/`."""

from __future__ import annotations

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

_MALFORMED = "The address or the form of this page has a part that cannot be read"
_NOT_THERE = "There is no such page, or no such experiment or rollout"


def not_understood(request: HttpRequest, exception: Exception, *, status: int = 400) -> HttpResponse:
    """Shows the reason of a BadRequest, which names the part. Messages of other errors are not for readers."""
    reason = str(exception).rstrip(".") if isinstance(exception, BadRequest) else _MALFORMED
    return _answer(request, reason, template="400.html", status=status)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Shows the same response whatever is missing."""
    return _answer(request, _NOT_THERE, template="404.html", status=404)


def _answer(request: HttpRequest, reason: str, *, template: str, status: int) -> HttpResponse:
    if request.path_info.startswith("/api/"):
        return JsonResponse({"error": reason}, status=status)
    return render(request, template, {"reason": reason}, status=status)
