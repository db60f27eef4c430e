"""Drafts: unfinished launch forms, stored for their user until they are launched or deleted."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from rlm_runs.experiments.problems import SpecError
from rlm_runs.models import LaunchDraft

from .start import spec_in

_NOT_KEPT = ("csrfmiddlewaretoken", "draft", "do", "no_probe")
_LONGEST_NAME = 200


@require_POST
def save(request: HttpRequest) -> HttpResponse:
    """Stores the form in the draft that it was opened from, or in a new one."""
    given = request.POST.get("draft", "")
    user = request.user
    assert isinstance(user, User)
    data = request.POST.copy()
    for name in _NOT_KEPT:
        data.pop(name, None)
    draft = LaunchDraft.objects.keep(
        user_id=user.pk,
        draft_id=int(given) if given.isdecimal() and len(given) < 19 else None,
        name=_name(data),
        form=data.urlencode(),
    )
    return redirect(f"{reverse('launch')}?draft={draft.pk}")


@require_POST
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Deletes a draft of the user."""
    get_object_or_404(LaunchDraft, pk=pk, user=request.user.pk).delete()
    return redirect("launch")


def _name(data: QueryDict) -> str:
    """Returns the experiment's name from the form or its TOML; "" if the TOML cannot be read."""
    try:
        return str(spec_in(data).get("name", "")).strip()[:_LONGEST_NAME]
    except SpecError:
        return ""
