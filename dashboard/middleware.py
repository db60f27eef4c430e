"""The Content-Security-Policy of every page: our own scripts only, nothing inline, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase

_DIRECTIVES = (
    "default-src 'none'",
    "script-src 'self'",
    # plotly sets style attributes as it draws
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data: blob:",
    "font-src 'self'",
    "connect-src 'self'",
    "form-action 'self'",
    "base-uri 'none'",
)
POLICY = "; ".join([*_DIRECTIVES, "frame-ancestors 'none'"])
EMBEDDABLE_POLICY = "; ".join([*_DIRECTIVES, "frame-ancestors *"])
"""Of the few pages that may stand in a frame of somebody else's page."""


def content_security_policy(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Adds the policy to each response that has none of its own."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        return response

    return answer
