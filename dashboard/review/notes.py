"""The notes of a rollout: comments with their moments, tags, manual scores with their history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import BadRequest, PermissionDenied
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_http_methods

from rlm_runs.models import Comment, ManualScore, Rollout, RolloutTag, Trajectory
from rlm_runs.models.texts import escape

from ..query_params import rollout_or_404
from .forms import CommentForm, ScoreForm, TagForm

_TURNS_OF_PAGE = 30
_MOMENT = ("attempt", "call", "turn", "cell", "part", "start", "end", "quote")


@dataclass(frozen=True)
class PlacedComment:
    """A comment, with the URL and the name of its moment."""

    comment: Comment
    address: str
    place: str


@require_http_methods(["GET", "HEAD", "POST"])
def notes(request: HttpRequest, pk: int) -> HttpResponse:
    """Shows the notes of a rollout. A POST writes or removes one. `part=list` returns only the list, for the
    replay.
    """
    rollout = rollout_or_404(pk)
    if request.method == "POST":
        return _written(request, rollout)
    if "list" in request.GET:
        context = {"rollout": rollout, "comments": placed(rollout), "tags": rollout.tags.all()}
        return render(request, "dashboard/review/_list.html", context)
    moment = {name: request.GET[name] for name in _MOMENT if request.GET.get(name)}
    return _page(request, rollout, moment)


def _page(
    request: HttpRequest, rollout: Rollout, moment: dict[str, str], *, form: Form | None = None
) -> HttpResponse:
    scores = list(rollout.manual_scores.all())
    context = {
        "rollout": rollout,
        "title": "Notes",
        "comments": placed(rollout),
        "tags": rollout.tags.all(),
        "known_tags": RolloutTag.objects.order_by("name").values_list("name", flat=True).distinct()[:200],
        "scores": scores,
        "mean": mean_of(scores),
        "moment": moment,
        "form": form,
    }
    return render(request, "dashboard/review/notes.html", context, status=422 if form else 200)


def mean_of(scores: list[ManualScore]) -> float | None:
    """Returns the mean of the reviewers' latest scores; None without any."""
    current = [score.score for score in scores if score.is_current]
    return sum(current) / len(current) if current else None


def placed(rollout: Rollout) -> list[PlacedComment]:
    """Returns the comments of a rollout, each with its moment. One query."""
    rows = rollout.comments.select_related("trajectory", "execution")
    return [_placed(rollout, comment) for comment in rows]


def _placed(rollout: Rollout, comment: Comment) -> PlacedComment:
    found = comment.trajectory
    if found is None or comment.turn is None:
        return PlacedComment(comment, rollout.get_absolute_url(), "rollout")
    parts = [f"turn {comment.turn}"]
    if comment.execution is not None:
        parts.append("cell" if comment.execution.kind == "cell" else "tool call")
    if comment.part:
        parts.append(comment.get_part_display())
    first = (comment.turn - 1) // _TURNS_OF_PAGE * _TURNS_OF_PAGE + 1
    if found.kind == Trajectory.Kind.ROOT:
        query = urlencode({"attempt": found.attempt, "from": first})
        return PlacedComment(
            comment, f"{rollout.get_absolute_url()}?{query}#turn-{comment.turn}", ", ".join(parts)
        )
    address = reverse("call", args=[rollout.pk, found.pk])
    place = ", ".join([f"call {found.pk}", *parts])
    return PlacedComment(comment, f"{address}?from={first}#call-{found.pk}-turn-{comment.turn}", place)


def _written(request: HttpRequest, rollout: Rollout) -> HttpResponse:
    assert isinstance(request.user, User)
    action = request.POST.get("action", "")
    if action not in _ACTIONS:
        raise BadRequest(f"action must be one of {', '.join(_ACTIONS)}")
    form = _ACTIONS[action](request, rollout, request.user)
    if form is not None and not form.is_valid():
        moment = {name: request.POST[name] for name in _MOMENT if request.POST.get(name)}
        return _page(request, rollout, moment, form=form)
    return redirect("rollout-notes", pk=rollout.pk)


def _comment(request: HttpRequest, rollout: Rollout, user: User) -> Form | None:
    form = CommentForm(request.POST, rollout=rollout)
    if form.is_valid():
        form.save(user)
    return form


def _tag(request: HttpRequest, rollout: Rollout, user: User) -> Form | None:
    form = TagForm(request.POST)
    if form.is_valid():
        defaults = {"author": user, "author_name": user.get_username()}
        RolloutTag.objects.get_or_create(
            rollout=rollout, name=escape(form.cleaned_data["name"]), defaults=defaults
        )
    return form


def _score(request: HttpRequest, rollout: Rollout, user: User) -> Form | None:
    form = ScoreForm(request.POST)
    if form.is_valid():
        given = form.cleaned_data
        ManualScore.objects.give(rollout, user=user, score=given["score"], reason=given["reason"], is_blind=False)
    return form


def _remove_comment(request: HttpRequest, rollout: Rollout, user: User) -> Form | None:
    row = get_object_or_404(Comment, pk=_number(request), rollout=rollout)
    if not row.written_by(user) and not user.is_staff:
        raise PermissionDenied("a comment is removed by its author, or by staff")
    row.delete()
    return None


def _remove_tag(request: HttpRequest, rollout: Rollout, user: User) -> Form | None:
    get_object_or_404(RolloutTag, pk=_number(request), rollout=rollout).delete()
    return None


def _number(request: HttpRequest) -> int:
    given = request.POST.get("id", "")
    if not given.isascii() or not given.isdecimal() or len(given) > 18:
        raise BadRequest("id must be a number")
    return int(given)


_ACTIONS: dict[str, Any] = {
    "comment": _comment,
    "tag": _tag,
    "score": _score,
    "remove-comment": _remove_comment,
    "remove-tag": _remove_tag,
}
