"""Actions on selected rollouts of a list: compare, tag, export, retry."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlencode

from django.contrib.auth.models import User
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from rlm_runs.execution.selection import OUTCOMES
from rlm_runs.experiments.actions import ACTIONS, Preview, Refused, parse, preview, take
from rlm_runs.models import Experiment, Rollout, RolloutTag

from ..addresses import address_of
from ..comparison_query import MOST_ARMS

_MOST = 200
_TAG = re.compile(r"[^,\"*\x00]{1,60}")


@require_POST
def act_on_selected(request: HttpRequest) -> HttpResponse:
    """Performs the action of the button that was pressed on the selected rollouts."""
    act = _ACTIONS.get(request.POST.get("do", ""))
    if act is None:
        raise BadRequest(f"do must be one of {', '.join(_ACTIONS)}")
    selected = _selected(request)
    if not selected:
        raise BadRequest("Select at least one rollout of the list.")
    return act(request, selected)


def _selected(request: HttpRequest) -> list[Rollout]:
    """Returns the selected rollouts, in the order of the list."""
    given = list(dict.fromkeys(request.POST.getlist("rollout")))
    if len(given) > _MOST or not all(pk.isascii() and pk.isdecimal() and len(pk) < 19 for pk in given):
        raise BadRequest(f"rollout must be numbers of at most {_MOST} rollouts")
    shown = Rollout.objects.filter(experiment__deleted_at=None, experiment__forks_of=None)
    found = shown.select_related("experiment", "arm").in_bulk([int(pk) for pk in given])
    return [found[int(pk)] for pk in given if int(pk) in found]


def _compare(request: HttpRequest, selected: list[Rollout]) -> HttpResponse:
    """Redirects to two rollouts side by side, or to the comparison of the arms of several."""
    if len(selected) == 2:
        first, second = selected
        return redirect(f"{address_of('compare-rollouts')}?{urlencode({'a': first.pk, 'b': second.pk})}")
    arms = sorted({rollout.arm_id for rollout in selected})
    if not 2 <= len(arms) <= MOST_ARMS:
        raise BadRequest(
            f"Select two rollouts to see them side by side, or rollouts of 2 to {MOST_ARMS} arms to compare these."
        )
    return redirect(f"{address_of('compare')}?{urlencode({'arm': arms}, doseq=True)}")


def _tag(request: HttpRequest, selected: list[Rollout]) -> HttpResponse:
    """Adds a tag to the selected rollouts."""
    name = request.POST.get("tag", "").strip()
    if not _TAG.fullmatch(name):
        raise BadRequest("A tag has 1 to 60 characters, without commas, quotes and stars.")
    assert isinstance(request.user, User)
    RolloutTag.objects.put(name, [rollout.pk for rollout in selected], user=request.user)
    return redirect(_back(request))


def _export(request: HttpRequest, selected: list[Rollout]) -> HttpResponse:
    """Redirects to the CSV of the selected rollouts, with the columns of the list."""
    query = {"q": f"id:{','.join(str(rollout.pk) for rollout in selected)}", "sort": "id"}
    if columns := request.POST.get("columns", ""):
        query["columns"] = columns
    return redirect(f"{reverse('rollouts-csv')}?{urlencode(query)}")


@dataclass(frozen=True)
class _Part:
    """The selected rollouts of one experiment: the preview of their retry, or the reason why it is refused."""

    experiment: Experiment
    chosen: int
    told: Preview | None = None
    refused: str = ""


def _retry(request: HttpRequest, selected: list[Rollout]) -> HttpResponse:
    """Shows what a retry would do, per experiment. If confirmed, queues rollouts that ended without a reward."""
    by_experiment: dict[Experiment, list[int]] = {}
    for rollout in selected:
        by_experiment.setdefault(rollout.experiment, []).append(rollout.pk)
    is_confirmed = request.POST.get("confirm") == "yes"
    parts = [_retried(request, *each, is_confirmed=is_confirmed) for each in by_experiment.items()]
    if is_confirmed and not any(part.refused for part in parts):
        return redirect(_back(request))
    context = {
        "section": "rollouts",
        "parts": parts,
        "selected": selected,
        "back": _back(request),
        "can_retry": any(part.told and not part.told.is_empty for part in parts),
    }
    return render(request, "dashboard/rollouts/retry.html", context)


def _retried(request: HttpRequest, experiment: Experiment, pks: list[int], *, is_confirmed: bool) -> _Part:
    action = ACTIONS["retry"]
    try:
        options = parse(action, {"rollouts": pks, "outcomes": list(OUTCOMES)})
        told = preview(action, experiment, options)
        if is_confirmed and told and not told.is_empty:
            take(action, experiment, options, actor=request.user.get_username(), confirmed=True)
    except Refused as error:
        return _Part(experiment, len(pks), refused=str(error))
    return _Part(experiment, len(pks), told)


def _back(request: HttpRequest) -> str:
    """Returns the address of the list that the form was sent from."""
    address = request.POST.get("back", "")
    is_ours = address.startswith("/") and url_has_allowed_host_and_scheme(address, allowed_hosts=None)
    return address if is_ours else reverse("rollouts")


_ACTIONS: dict[str, Callable[[HttpRequest, list[Rollout]], HttpResponse]] = {
    "compare": _compare,
    "tag": _tag,
    "export": _export,
    "retry": _retry,
}
