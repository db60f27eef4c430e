"""Middleware for every request: a limit on the URL length, and a Content-Security-Policy.

The policy allows our own scripts only, and nothing inline.
"""

from __future__ import annotations

from collections.abc import Callable

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from .error_pages import not_understood

_DIRECTIVES = (
    "default-src 'none'",
    "script-src 'self'",
    # plotly sets style attributes while it draws
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data: blob:",
    "font-src 'self'",
    "connect-src 'self'",
    "form-action 'self'",
    "base-uri 'none'",
)
POLICY = "; ".join([*_DIRECTIVES, "frame-ancestors 'none'"])
EMBEDDABLE_POLICY = "; ".join([*_DIRECTIVES, "frame-ancestors *"])
"""The policy of the few pages that other sites may embed in a frame."""


MOST_OF_QUERY = 4_000
"""The maximum length of a query string, in bytes. A page repeats it in dozens of links, and gunicorn as started by
`make demo` reads no longer request line.
"""


def short_addresses(get_response: Callable[[HttpRequest], HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Refuses query strings that are so long that the links of a page would exceed its size limit."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        length = len(request.META.get("QUERY_STRING", ""))
        if length <= MOST_OF_QUERY:
            length = len(request.GET.urlencode())
        return get_response(request) if length <= MOST_OF_QUERY else _too_long(request)

    return answer


def _too_long(request: HttpRequest) -> HttpResponse:
    reason = BadRequest(f"The address is too long: behind the ? it may have {MOST_OF_QUERY:,} bytes")
    return not_understood(request, reason, status=414)


def content_security_policy(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Adds the policy to each response without one."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        return response

    return answer
