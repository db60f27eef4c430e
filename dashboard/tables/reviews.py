"""Columns of a rollout's reviews: tags, the mean manual score, the number of notes."""

from __future__ import annotations

from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Avg, Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from rlm_runs.models import Comment, ManualScore, RolloutTag

from ..pagination import Column as Order
from ..templatetags.dashboard import reward
from . import cells
from .columns import Column


def _of_rollout(rows: QuerySet[Any]) -> QuerySet[Any, Any]:
    return rows.filter(rollout=OuterRef("pk")).order_by().values("rollout")


_TAGS = ArraySubquery(RolloutTag.objects.filter(rollout=OuterRef("pk")).order_by("name").values("name"))
_MANUAL = Subquery(_of_rollout(ManualScore.objects.current()).annotate(mean=Avg("score")).values("mean"))
_NOTES = Coalesce(Subquery(_of_rollout(Comment.objects.all()).annotate(all=Count("pk")).values("all")), 0)

REVIEWS = (
    Column(
        "tags",
        "tags",
        lambda row: ", ".join(map(cells.plain, row["tag_names"])),
        lambda row: cells.text(", ".join(row["tag_names"])),
        needs=("tag_names",),
        annotations={"tag_names": _TAGS},
        help="tags",
    ),
    Column(
        "manual",
        "manual",
        lambda row: row["manual_mean"],
        lambda row: cells.NOT_YET if row["manual_mean"] is None else reward(row["manual_mean"]),
        needs=("manual_mean",),
        annotations={"manual_mean": _MANUAL},
        help="manual score, the mean of the reviewers",
        order=Order("manual_mean", float, nullable=True),
        is_number=True,
    ),
    Column(
        "notes",
        "notes",
        lambda row: row["note_count"],
        lambda row: str(row["note_count"] or "–"),
        needs=("note_count",),
        annotations={"note_count": _NOTES},
        help="notes",
        order=Order("note_count"),
        is_number=True,
    ),
)
