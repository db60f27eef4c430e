"""Sharing a page by a link, the list of a user's links, and the revocation of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import get_script_prefix, reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_POST, require_safe

from rlm_runs.models import Arm, SharedLink

from ..pagination import BadCursor, Column, Page, keyset_page
from .links import IN_WORDS, NotShareable, link_to

_COLUMNS = {"made": Column("pk")}
_PAGE = 50


class ShareForm(forms.Form):
    """The page to share: its path and query string."""

    path = forms.CharField(max_length=400)
    query = forms.CharField(required=False, max_length=4_000)


@dataclass(frozen=True)
class ListedLink:
    """A link with its content. `arms` are those of a comparison that still exist."""

    link: SharedLink
    address: str
    arms: tuple[Arm, ...]

    @property
    def figure(self) -> str:
        """The last part of a figure's path."""
        return self.link.path.strip("/").rpartition("/")[2]


@require_POST
def share(request: HttpRequest) -> HttpResponse:
    """Creates a link to a page, or returns the one that the same user created for it before."""
    form = ShareForm(request.POST)
    if not form.is_valid():
        raise BadRequest("A path and a query string are needed")
    user = request.user
    assert isinstance(user, User)
    try:
        link = link_to(form.cleaned_data["path"], form.cleaned_data["query"])
    except NotShareable as problem:
        raise BadRequest(str(problem)) from problem
    made = SharedLink.objects.alive().filter(created_by=user, path=link.path, query=link.query).first()
    if made is None:
        made = link
        made.created_by = user
        made.save()
    if request.htmx:  # type: ignore[attr-defined]
        context = {"address": _address(request, made), "shown": IN_WORDS[SharedLink.Kind(made.kind)]}
        return render(request, "dashboard/sharing/_link.html", context)
    return redirect(f"{reverse('shared-links')}?{urlencode({'made': made.pk})}")


@require_safe
def shared_links(request: HttpRequest) -> HttpResponse:
    """Shows the user's links, newest first; all links for staff."""
    links = SharedLink.objects.manageable_by(request.user)
    page, problem = Page[SharedLink](rows=(), before="", after=""), ""
    try:
        page = keyset_page(
            links.select_related("experiment", "rollout__arm", "created_by"),
            columns=_COLUMNS,
            sort="-made",
            after=request.GET.get("after", ""),
            before=request.GET.get("before", ""),
            size=_PAGE,
        )
    except BadCursor:
        problem = "This page of the list does not exist. Start at the first one."
    context = {
        "section": "shared",
        "page": page,
        "rows": _listed(request, page.rows),
        "problem": problem,
        "made": request.GET.get("made", ""),
    }
    return render(request, "dashboard/sharing/links.html", context)


@require_POST
def revoke(request: HttpRequest, pk: int) -> HttpResponse:
    """Revokes a link of the user; staff may revoke any."""
    get_object_or_404(SharedLink.objects.manageable_by(request.user), pk=pk).revoke()
    return redirect("shared-links")


def _address(request: HttpRequest, link: SharedLink) -> str:
    return request.build_absolute_uri(f"{get_script_prefix()}s/{link.token}/")


def _listed(request: HttpRequest, links: Sequence[SharedLink]) -> list[ListedLink]:
    arms: dict[Any, Arm] = Arm.objects.in_bulk({pk for link in links for pk in link.arms})
    return [
        ListedLink(
            link=link,
            address=_address(request, link),
            arms=tuple(arms[pk] for pk in link.arms if pk in arms),
        )
        for link in links
    ]
