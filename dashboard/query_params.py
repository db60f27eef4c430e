"""Parts of URLs that several pages read: a rollout, a whole number."""

from __future__ import annotations

from django.core.exceptions import BadRequest
from django.http import HttpRequest
from django.shortcuts import get_object_or_404

from rlm_runs.models import Rollout


def rollout_or_404(pk: int) -> Rollout:
    """Returns a rollout with its arm, experiment and example. Raises Http404."""
    shown = Rollout.objects.filter(experiment__deleted_at=None)
    return get_object_or_404(shown.select_related("arm__experiment", "example"), pk=pk)


def whole_number(request: HttpRequest, name: str, *, default: int, least: int = 1, most: int = 10**9) -> int:
    """Returns a whole number of the query string. Raises BadRequest for anything else."""
    given = request.GET.get(name, str(default))
    if not given.isascii() or not given.isdecimal() or len(given) > 10 or not least <= int(given) <= most:
        if name in request.GET:
            raise BadRequest(f"{name} must be a whole number from {least} to {most}")
        return default
    return int(given)
