"""Permissions of a page's reader: everything with a login, or the content of a shared link."""

from __future__ import annotations

from django.http import HttpRequest

from rlm_runs.models import SharedLink


def share_of(request: HttpRequest) -> SharedLink | None:
    """Returns the shared link of the request; None for a reader with an account."""
    return getattr(request, "share", None)


def sees_experiment(request: HttpRequest) -> bool:
    """Returns whether the reader may follow links from a page to its experiment."""
    share = share_of(request)
    return share is None or share.kind == SharedLink.Kind.EXPERIMENT


def surroundings(request: HttpRequest) -> dict[str, bool]:
    """Returns template variables that say which links a page may show. Without them, a page shows none."""
    return {"sees_all": share_of(request) is None, "sees_experiment": sees_experiment(request)}
