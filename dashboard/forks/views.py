"""The page that forks a turn, and the button that lets a waiting fork continue."""

from __future__ import annotations

from contextlib import suppress

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from rlm_runs.execution import forks
from rlm_runs.experiments.forking import Refused, SpecError, create_fork
from rlm_runs.models import Fork, Rollout

from ..query_params import rollout_or_404, whole_number
from .form import ForkForm, form_of


@require_http_methods(["GET", "HEAD", "POST"])
def fork(request: HttpRequest, pk: int) -> HttpResponse:
    """Shows the editable parts of a turn. A POST creates the fork."""
    found = rollout_or_404(pk)
    turn = whole_number(request, "turn", default=1)
    attempt = whole_number(request, "attempt", default=max(found.attempt, 1))
    form = form_of(found, request.POST, turn=turn, attempt=attempt)
    if request.method != "POST":
        return _page(request, found, form)
    try:
        created = create_fork(found, form.request, author=request.user.get_username())
    except Refused as error:
        return _page(request, found, form, problems=[str(error)])
    except SpecError as error:
        return _page(request, found, form, problems=list(map(str, error.problems)))
    return redirect("rollout", created.pk)


@require_POST
def go_on(request: HttpRequest, pk: int) -> HttpResponse:
    """Lets a waiting fork continue, whatever its differences."""
    found = get_object_or_404(Fork, rollout=pk, rollout__experiment__deleted_at=None)
    with suppress(Refused):  # another reader was faster; the rollout's page shows its state
        forks.go_on(found)
    return redirect("rollout", pk)


def _page(
    request: HttpRequest, rollout: Rollout, form: ForkForm, *, problems: list[str] | None = None
) -> HttpResponse:
    context = {
        "rollout": rollout,
        "form": form,
        "holds": Fork.Hold.choices,
        "problems": problems or [],
        "title": f"Fork turn {form.turn}",
        "imported": rollout.reported or bool(rollout.arm.experiment.sources),
    }
    return render(request, "dashboard/forks/page.html", context, status=422 if problems else 200)
