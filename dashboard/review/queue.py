"""The review queue: the next rollout of a filter that the user has not scored, with its arm and reward hidden."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from django.contrib.auth.models import User
from django.db.models import CharField, F
from django.db.models.functions import MD5, Cast
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_http_methods

from rlm_runs.analysis import filters, search, transcripts
from rlm_runs.analysis.transcripts import Bounds
from rlm_runs.models import ManualScore, Rollout
from rlm_runs.models.experiments import RolloutQuerySet

from ..query_params import rollout_or_404
from ..tables.query import TableQuery, parse_query
from ..tables.rollouts import ROLLOUTS
from .forms import ScoreForm

_COUNTED = 1_000
_MOST_SKIPPED = 100
_BOUNDS = Bounds(longest=8_000, total=100_000)


@require_http_methods(["GET", "HEAD", "POST"])
def review(request: HttpRequest) -> HttpResponse:
    """Shows the next rollout of `q`. A POST scores one and continues; `blind=0` shows the arm and the reward."""
    assert isinstance(request.user, User)
    if request.method == "POST":
        return _scored(request, request.user)
    wanted = parse_query(request.GET, ROLLOUTS)
    context: dict[str, Any] = {"asked": wanted, "is_blind": _is_blind(request.GET), "complete": _completions_url()}
    if wanted.problem is None:
        try:
            context |= _next(request, wanted, request.user)
        except search.TooSlow:
            context["is_too_slow"] = True
    return render(request, "dashboard/review/queue.html", context)


def _completions_url() -> str:
    return reverse("filter-completions")


def _is_blind(given: QueryDict) -> bool:
    return given.get("blind", "1") != "0"


def waiting(wanted: TableQuery, user: User) -> RolloutQuerySet:
    """Returns the ended rollouts of a filter that the user has not scored."""
    done = ManualScore.objects.current().filter(author=user).order_by().values("rollout")
    ended = Rollout.objects.listed().filter(status__in=["completed", "failed"])
    return ended.filter(wanted.condition).exclude(pk__in=done)


def _next(request: HttpRequest, wanted: TableQuery, user: User) -> dict[str, Any]:
    skipped = [int(part) for part in request.GET.get("skip", "").split(",") if part.isdecimal() and len(part) < 19]
    left = waiting(wanted, user)
    with search.bounded() if wanted.query.searches else nullcontext():
        count = left.order_by()[: _COUNTED + 1].count()
        # The order of the list would reveal a rollout's arm.
        order = MD5(Cast(F("pk"), CharField())) if _is_blind(request.GET) else F("pk")
        pk = left.exclude(pk__in=skipped).order_by(order, "pk").values_list("pk", flat=True).first()
    context = {"left": count, "counted": _COUNTED, "last": _last(request, user)}
    if pk is None:
        return context
    rollout = rollout_or_404(pk)
    more = ",".join(map(str, [*skipped, pk][-_MOST_SKIPPED:]))
    kept = {"q": wanted.q, "blind": "" if _is_blind(request.GET) else "0"}
    query = urlencode({name: value for name, value in {**kept, "skip": more}.items() if value})
    return {**context, "rollout": rollout, "skip": f"?{query}", **_shown(rollout)}


def _shown(rollout: Rollout) -> dict[str, Any]:
    """Returns what is judged: the question, the answers and the transcript.

    The transcript has no opening, because that names the arm.
    """
    example = rollout.example
    beside = [rollout.answer_id, example.answer_id, example.prompt_id]
    trace = transcripts.read_whole(
        rollout, attempt=rollout.attempt, beside=[digest for digest in beside if digest], bounds=_BOUNDS
    )
    return {
        "trace": trace,
        "texts": {},
        "variables": {},
        "given": trace.texts.get(rollout.answer_id or ""),
        "gold": trace.texts.get(example.answer_id, transcripts.EMPTY),
        "prompt": trace.texts.get(example.prompt_id, transcripts.EMPTY),
        "output_limit": rollout.arm.scaffold_settings.get("output_limit", 8192),
    }


def _last(request: HttpRequest, user: User) -> ManualScore | None:
    """Returns the score just given, with its rollout, whose arm and reward are now shown; None without one."""
    given = request.GET.get("done", "")
    if not given.isascii() or not given.isdecimal() or len(given) > 18:
        return None
    found = ManualScore.objects.current().filter(rollout=int(given), author=user)
    return found.select_related("rollout__arm").first()


def _scored(request: HttpRequest, user: User) -> HttpResponse:
    given = request.POST.get("rollout", "")
    rollout = rollout_or_404(int(given) if given.isascii() and given.isdecimal() and len(given) < 19 else 0)
    form = ScoreForm(request.POST)
    kept = {"q": request.POST.get("q", "")[: filters.language.MOST_CHARS]}
    if not _is_blind(request.POST):
        kept["blind"] = "0"
    if not form.is_valid():
        return redirect(f"{reverse('review')}?{urlencode(kept | {'problem': 'score'})}")
    ManualScore.objects.give(
        rollout,
        user=user,
        score=form.cleaned_data["score"],
        reason=form.cleaned_data["reason"],
        is_blind=_is_blind(request.POST),
    )
    return redirect(f"{reverse('review')}?{urlencode(kept | {'done': rollout.pk})}")
