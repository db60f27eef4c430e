"""Conditions on reviews of rollouts: notes, tags, manual scores and their authors.

Reviews are few compared with rollouts, so each condition is a set of rollouts read from the reviews.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import Avg, F, Q, QuerySet

from rlm_runs.models import Comment, ManualScore, RolloutTag
from rlm_runs.models.texts import escape

from .language import Number, Value

REVIEW_KEYS = ("note", "tag", "manual", "reviewed_by")
"""Keys of reviews. Readers of a shared link may not use them."""


def with_note(value: Value, *, is_none: bool) -> Q:
    """Returns the condition for rollouts with a note that contains the text, ignoring case; `*` means any note."""
    if is_none or value.pattern == "*":
        return _among(Comment.objects.all(), is_none=is_none)
    return _among(Comment.objects.filter(Q(body__icontains=escape(value.text))))


def with_tag(value: Value, *, is_none: bool, regex: str) -> Q:
    """Returns the condition for rollouts with a tag. `regex` is that of a pattern, "" without one."""
    return _named(RolloutTag.objects.all(), "name", value, is_none=is_none, regex=regex)


def reviewed_by(value: Value, *, is_none: bool, regex: str) -> Q:
    """Returns the condition for rollouts that a user has scored."""
    return _named(ManualScore.objects.current(), "author_name", value, is_none=is_none, regex=regex)


def with_score(number: Number | None, compared: Callable[[Any, Number, Callable[..., Any]], Q]) -> Q:
    """Returns the condition on the mean of a rollout's latest scores by reviewer; with None, for rollouts without
    one.
    """
    scores = ManualScore.objects.current()
    if number is None:
        return _among(scores, is_none=True)
    means = scores.order_by().values("rollout").annotate(mean=Avg("score"))
    return Q(pk__in=means.filter(compared(F("mean"), number, float)).values("rollout"))


def _named(rows: QuerySet[Any], field: str, value: Value, *, is_none: bool, regex: str) -> Q:
    if is_none:
        return _among(rows, is_none=True)
    return _among(rows.filter(**{f"{field}__regex": regex} if regex else {field: escape(value.text)}))


def _among(rows: QuerySet[Any], *, is_none: bool = False) -> Q:
    found = Q(pk__in=rows.order_by().values("rollout"))
    return ~found if is_none else found
