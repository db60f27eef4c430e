"""Reviews of rollouts by people: comments on moments, tags, and scores beside the automatic reward.

A review never changes the automatic reward. The author's name stays when the account is deleted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from django.conf import settings
from django.contrib.auth.models import User
from django.db import models, transaction
from django.db.models import F, Q

from .experiments import Rollout
from .texts import escape
from .traces import Execution, Trajectory


class Authored(models.Model):
    """Base of rows with an author, whose name stays when the account is deleted."""

    author = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    author_name = models.CharField(max_length=150)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        abstract = True

    def written_by(self, user: User) -> bool:
        """Returns whether the user is the author."""
        return self.author_id is not None and self.author_id == user.pk


class Comment(Authored):
    """A comment on a rollout, on a moment of it, or on a range of a moment's text.

    `turn` counts from 1 in `trajectory`; without a trajectory, the comment is on the whole rollout. `execution` is
    the cell or tool call. `quote` is the range as shown; `start` and `end` are its place in the text of `part`.
    """

    class Part(models.TextChoices):
        CONTENT = "content", "message"
        CODE = "arguments", "code"
        SHOWN = "shown", "output"
        ANSWER = "answer", "answer"

    rollout = models.ForeignKey(Rollout, on_delete=models.CASCADE, related_name="comments")
    trajectory = models.ForeignKey(Trajectory, null=True, on_delete=models.SET_NULL, related_name="+")
    turn = models.PositiveIntegerField(null=True)
    execution = models.ForeignKey(Execution, null=True, on_delete=models.SET_NULL, related_name="+")
    part = models.CharField(max_length=10, choices=Part.choices, blank=True)
    start = models.PositiveIntegerField(null=True)
    end = models.PositiveIntegerField(null=True)
    quote = models.TextField(blank=True, help_text="Escaped as texts are.")
    body = models.TextField(help_text="Escaped as texts are.")

    class Meta:
        ordering: ClassVar = ["pk"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(start=None, end=None) | Q(start__lt=F("end")), name="comment_range_is_one"
            ),
        ]

    def __str__(self) -> str:
        return f"comment {self.pk}"


class RolloutTagQuerySet(models.QuerySet["RolloutTag"]):
    """Tagging."""

    def put(self, name: str, rollouts: Iterable[int], *, user: User) -> None:
        """Adds a tag to these rollouts. Existing tags stay unchanged."""
        self.bulk_create(
            [
                RolloutTag(rollout_id=pk, name=escape(name), author=user, author_name=user.get_username())
                for pk in rollouts
            ],
            ignore_conflicts=True,
        )


class RolloutTag(Authored):
    """A tag of a rollout, the same for all users."""

    rollout = models.ForeignKey(Rollout, on_delete=models.CASCADE, related_name="tags")
    name = models.CharField(max_length=60)

    objects = RolloutTagQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["name"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["rollout", "name"], name="rollout_tag_once"),
        ]
        indexes: ClassVar = [models.Index(fields=["name", "rollout"], name="rollout_tag_name")]

    def __str__(self) -> str:
        return self.name


class ManualScoreQuerySet(models.QuerySet["ManualScore"]):
    """Queries of scores, and the recording of one."""

    def current(self) -> ManualScoreQuerySet:
        """Returns the latest score of each author."""
        return self.filter(is_current=True)

    def give(self, rollout: Rollout, *, user: User, score: float, reason: str, is_blind: bool) -> ManualScore:
        """Records a score. The author's earlier scores of this rollout stay as history."""
        with transaction.atomic():
            Rollout.objects.select_for_update(no_key=True).only("pk").get(pk=rollout.pk)
            self.filter(rollout=rollout, author=user, is_current=True).update(is_current=False)
            return self.create(
                rollout=rollout,
                author=user,
                author_name=user.get_username(),
                score=score,
                reason=escape(reason),
                is_blind=is_blind,
            )


class ManualScore(Authored):
    """A score from 0 to 1 that a person gave a rollout. Rows are only added.

    `is_blind` says whether the arm and the automatic reward were hidden.
    """

    rollout = models.ForeignKey(Rollout, on_delete=models.CASCADE, related_name="manual_scores")
    score = models.FloatField()
    reason = models.TextField(blank=True, help_text="Escaped as texts are.")
    is_blind = models.BooleanField(default=False)
    is_current = models.BooleanField(default=True, help_text="The author's last score of the rollout.")

    objects = ManualScoreQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["rollout", "author"], condition=Q(is_current=True), name="one_current_score_of_author"
            ),
            models.CheckConstraint(condition=Q(score__gte=0, score__lte=1), name="manual_score_is_a_share"),
        ]

    def __str__(self) -> str:
        return f"{self.score:g} by {self.author_name}"


REVIEW_COLUMNS = frozenset({"tags", "manual", "notes"})
"""Columns of lists that show reviews. Readers of a shared link do not see them."""
