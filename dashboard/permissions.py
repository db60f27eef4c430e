"""What the reader of a page may see: everything behind a login, or what a shared link shows."""

from __future__ import annotations

from django.http import HttpRequest

from rlm_runs.models import SharedLink


def share_of(request: HttpRequest) -> SharedLink | None:
    """The link through which a page is read; None for a reader with an account."""
    return getattr(request, "share", None)


def sees_experiment(request: HttpRequest) -> bool:
    """Whether the reader may go from a page to the experiment that it belongs to."""
    share = share_of(request)
    return share is None or share.kind == SharedLink.Kind.EXPERIMENT


def surroundings(request: HttpRequest) -> dict[str, bool]:
    """For templates: which ways lead away from a page. Where it says nothing, a page shows none."""
    return {"sees_all": share_of(request) is None, "sees_experiment": sees_experiment(request)}
