"""Routes requests with a shared link to the same views as any other.

The guard runs first. It answers requests outside of the link's scope; only requests within it get a
`request.share` and pass the login. The script prefix becomes the link's, so that every URL on the page stays
inside it. Readers of a link are anonymous even if they are logged in: the request's cookies are ignored.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.core.exceptions import TooManyFieldsSent
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import Resolver404, get_script_prefix, resolve, set_script_prefix
from django.utils.cache import patch_cache_control

from rlm_runs.models import SharedLink

from ..middleware import EMBEDDABLE_POLICY
from ..permissions import share_of
from .scope import may_be_framed, shows

Handler = Callable[[HttpRequest], HttpResponseBase]

_ADDRESS = re.compile(r"/s/(?P<token>[^/]*)(?P<rest>/.*)?", re.DOTALL)
_REFUSED = (400, 403, 404, 405, 414)


class LoginOrLinkRequired(LoginRequiredMiddleware):
    """Middleware that requires a login or a link, except for views that are marked as open."""

    def process_view(
        self, request: HttpRequest, view_func: Callable[..., Any], view_args: Any, view_kwargs: Any
    ) -> HttpResponseBase | None:
        if share_of(request) is not None:
            return None
        return super().process_view(request, view_func, view_args, view_kwargs)


def shared_links(get_response: Handler) -> Handler:
    """Answers `/s/<token>/…` and passes everything else on."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        request.share = None  # type: ignore[attr-defined]
        address = _ADDRESS.fullmatch(request.path_info)
        if address is None:
            return get_response(request)
        link = SharedLink.objects.opened_by(address["token"])
        if link is None:
            return _keep_private(_not_shared(request, None))
        outside = get_script_prefix()
        set_script_prefix(f"{outside}s/{address['token']}/")
        try:
            return _keep_private(_shared_response(link, address["rest"] or "/", request, get_response))
        finally:
            set_script_prefix(outside)

    return answer


def _shared_response(link: SharedLink, path: str, request: HttpRequest, get_response: Handler) -> HttpResponseBase:
    """Returns the page at `path` if the link's scope includes it."""
    if request.method not in ("GET", "HEAD"):
        return _not_shared(request, link)
    if path == "/":
        return HttpResponseRedirect(home(link))
    try:
        match = resolve(path)
        is_shown = shows(link, match, request.GET)
    except (Resolver404, TooManyFieldsSent):
        is_shown = False
    if not is_shown:
        return _not_shared(request, link)
    request.path_info = path
    request.COOKIES = {}
    request.META.pop("HTTP_AUTHORIZATION", None)
    request.share = link  # type: ignore[attr-defined]
    response = get_response(request)
    if response.status_code in _REFUSED:
        return _not_shared(request, link)
    if may_be_framed(link, match, request.GET):
        response.headers["Content-Security-Policy"] = EMBEDDABLE_POLICY
    return response


def home(link: SharedLink) -> str:
    """Returns the URL of the shared page, under the current prefix."""
    return get_script_prefix().rstrip("/") + link.path + (f"?{link.query}" if link.query else "")


def _not_shared(request: HttpRequest, link: SharedLink | None) -> HttpResponse:
    """Returns one response for everything outside of a link's scope, and one for everything that is not a link."""
    request.share = link  # type: ignore[attr-defined]  # no view runs after this
    context = {"home": home(link) if link else ""}
    return render(request, "dashboard/sharing/nothing_shared.html", context, status=404)


def _keep_private(response: HttpResponseBase) -> HttpResponseBase:
    """Keeps the URL, which contains the token, out of other sites, search indexes and shared caches."""
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Robots-Tag"] = "noindex, nofollow"
    if response.headers.get("Content-Security-Policy") == EMBEDDABLE_POLICY:
        del response.headers["X-Frame-Options"]
    else:
        response.headers["X-Frame-Options"] = "DENY"
    patch_cache_control(response, private=True, no_store=True)
    return response
