"""Notes, tags and manual scores of the rollouts of a filter, as JSON."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from django.db.models import Q
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe

from rlm_runs.analysis import search
from rlm_runs.models import Comment, ManualScore, Rollout, RolloutTag
from rlm_runs.models.texts import unescape

from ..query_params import whole_number
from ..tables import exports
from ..tables.query import TOO_SLOW, parse_query
from ..tables.rollouts import ROLLOUTS

_MOST = 200


@require_safe
def reviews_json(request: HttpRequest) -> HttpResponse:
    """Returns the reviews of rollouts that have any, by number. `after` is the last number of the previous
    page.
    """
    wanted = parse_query(request.GET, ROLLOUTS)
    if wanted.problem:
        return exports.problem_response(wanted.problem)
    after = whole_number(request, "from", default=0, least=0)
    limit = whole_number(request, "limit", default=_MOST, most=_MOST)
    has_any = Q()
    for model in (Comment, RolloutTag, ManualScore):
        has_any |= Q(pk__in=model._default_manager.order_by().values("rollout"))
    found = Rollout.objects.listed().filter(wanted.condition).filter(has_any, pk__gt=after).order_by("pk")
    try:
        with search.bounded() if wanted.query.searches else nullcontext():
            rows = list(found.values_list("pk", "reward")[: limit + 1])
    except search.TooSlow:
        return exports.problem_response(TOO_SLOW)
    page = rows[:limit]
    told = reviews_of([pk for pk, _ in page])
    answer = {
        "rows": [{"rollout": pk, "reward": reward, **told[pk]} for pk, reward in page],
        "next": page[-1][0] if len(rows) > limit else None,
    }
    return JsonResponse(answer)


def reviews_of(rollouts: Sequence[int]) -> dict[int, dict[str, list[dict[str, Any]]]]:
    """Returns a map of rollout → its comments, tags and scores. Three queries."""
    found: dict[int, dict[str, list[dict[str, Any]]]] = defaultdict(
        lambda: {"comments": [], "tags": [], "manual_scores": []}
    )
    for comment in Comment.objects.filter(rollout__in=rollouts):
        found[comment.rollout_id]["comments"].append(_comment(comment))
    for tag in RolloutTag.objects.filter(rollout__in=rollouts):
        told = {"name": unescape(tag.name), "author": tag.author_name, "at": tag.created_at}
        found[tag.rollout_id]["tags"].append(told)
    for score in ManualScore.objects.filter(rollout__in=rollouts):
        found[score.rollout_id]["manual_scores"].append(_score(score))
    return found


def _comment(comment: Comment) -> dict[str, Any]:
    return {
        "id": comment.pk,
        "author": comment.author_name,
        "at": comment.created_at,
        "body": unescape(comment.body),
        "trajectory": comment.trajectory_id,
        "turn": comment.turn,
        "execution": comment.execution_id,
        "part": comment.part,
        "range": None if comment.start is None else [comment.start, comment.end],
        "quote": unescape(comment.quote),
    }


def _score(score: ManualScore) -> dict[str, Any]:
    return {
        "author": score.author_name,
        "at": score.created_at,
        "score": score.score,
        "reason": unescape(score.reason),
        "blind": score.is_blind,
        "current": score.is_current,
    }
