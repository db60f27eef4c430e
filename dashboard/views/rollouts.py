"""Lists of rollouts: of everything, and of one experiment."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from rlm_runs.models import Arm, Experiment, Rollout

from ..forms import RolloutFilters
from ..pagination import BadCursor, Page, keyset_page

_SIZE = 50
_COUNTED = 10_000
"""A list says how long it is up to here; counting further would cost more than the list."""


@require_safe
def rollout_list(request: HttpRequest, slug: str = "") -> HttpResponse:
    """Rollouts of one experiment, or of all."""
    experiment = get_object_or_404(Experiment.objects.defer("spec"), slug=slug) if slug else None
    rollouts = experiment.rollouts() if experiment else Rollout.objects.all()
    arms = experiment.arms.all() if experiment else Arm.objects.all()
    reasons = sorted(
        reason for reason in set(rollouts.order_by().values_list("stop_reason", flat=True).distinct())
    )
    filters = RolloutFilters(request.GET, arms=arms, stop_reasons=[reason for reason in reasons if reason])
    context: dict[str, Any] = {
        "section": "rollouts",
        "experiment": experiment,
        "filters": filters,
        "page": Page[Rollout](rows=(), before="", after=""),
        "sort": "example" if experiment else "-id",
    }
    if filters.is_valid():
        found = filters.narrow(rollouts)
        context["sort"] = filters.cleaned_data["sort"] or context["sort"]
        context["count"] = found.order_by()[: _COUNTED + 1].count()
        context["counted"] = _COUNTED
        context["arm"] = (
            arms.filter(pk=filters.cleaned_data["arm"]).first() if filters.cleaned_data["arm"] else None
        )
        try:
            context["page"] = keyset_page(
                found.for_list(),
                columns=RolloutFilters.COLUMNS,
                sort=str(context["sort"]),
                after=filters.cleaned_data["after"],
                before=filters.cleaned_data["before"],
                size=_SIZE,
            )
        except BadCursor:
            filters.add_error(None, "This page of the list does not exist. Start at the first one.")
    return render(request, "dashboard/rollout_list.html", context)
