"""Responses for pages that poll for changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def if_changed(request: HttpRequest, template: str, context: Mapping[str, Any]) -> HttpResponse:
    """Renders the template if the context's `version` differs from that of the page; else returns 204."""
    if context["version"] == request.GET.get("version"):
        return HttpResponse(status=204)
    return render(request, template, context)
