"""The past of a rollout: attempts that were retried, and outcomes that a rescoring replaced."""

from __future__ import annotations

from copy import copy
from decimal import Decimal
from typing import ClassVar

from django.db import models
from django.db.models import Q

from .actions import ExperimentAction
from .experiments import Experiment, Rollout
from .texts import Text


class Attempt(models.Model):
    """The outcome of an attempt that ended and was retried, as its rollout had it.

    An attempt without such a row is the rollout's last one, or was interrupted. `sums` holds the other columns of
    the rollout by name.
    """

    rollout = models.ForeignKey(Rollout, on_delete=models.CASCADE, related_name="attempts", db_index=False)
    number = models.PositiveIntegerField()
    status = models.CharField(max_length=10, choices=Rollout.Status.choices)
    stop_reason = models.CharField(max_length=40, blank=True)
    reward = models.FloatField(null=True)
    metrics = models.JSONField(default=dict)
    answer = models.ForeignKey(Text, null=True, on_delete=models.PROTECT, related_name="+")
    error = models.TextField(blank=True, help_text="Escaped as texts are.")
    error_boundary = models.CharField(max_length=20, blank=True)
    sandbox_backend = models.CharField(max_length=10, blank=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    seconds = models.FloatField(null=True)
    cost = models.DecimalField(max_digits=18, decimal_places=10, null=True)
    sums = models.JSONField(default=dict)

    OUTCOME = (
        *("status", "stop_reason", "reward", "metrics", "answer_id", "error", "error_boundary", "sandbox_backend"),
        *("started_at", "finished_at", "seconds", "cost"),
    )
    """Columns that an attempt shares with its rollout."""

    class Meta:
        ordering: ClassVar = ["number"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["rollout", "number"], name="attempt_once"),
        ]

    def __str__(self) -> str:
        return f"attempt {self.number} of rollout {self.rollout_id}"

    def shown(self, rollout: Rollout) -> Rollout:
        """Returns an unsaved copy of the rollout, with the outcome and the sums of this attempt."""
        found = copy(rollout)
        for name, value in self.sums.items():
            setattr(found, name, Decimal(str(value)) if name == "earlier_cost" and value is not None else value)
        for name in self.OUTCOME:
            setattr(found, name, getattr(self, name))
        return found


class Rescoring(models.Model):
    """The rescoring of one rollout's stored answer, waiting or done by a worker.

    `action` says who requested it, and when. `judge_model` is "" for the arm's judge. `before` and `after` are the
    outcome, as {"status", "stop_reason", "reward", "metrics", "error", "error_boundary"}. If the rescoring failed,
    `after` stays empty and `error` says why. `tries` counts the workers that took it.
    """

    class Status(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"
        CANCELLED = "cancelled"

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="+")
    rollout = models.ForeignKey(Rollout, on_delete=models.CASCADE, related_name="rescorings")
    action = models.ForeignKey(ExperimentAction, on_delete=models.CASCADE, related_name="rescorings")
    attempt = models.PositiveIntegerField(help_text="Of the rollout, whose answer is scored.")
    judge_model = models.CharField(max_length=200, blank=True)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.QUEUED)
    tries = models.PositiveIntegerField(default=0)
    worker = models.CharField(max_length=200, blank=True)
    lease_expires_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict)
    cost = models.DecimalField(
        max_digits=18, decimal_places=10, null=True, help_text="Dollars of the judge; NULL without a known price."
    )
    error = models.TextField(blank=True, help_text="Escaped as texts are.")

    class Meta:
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [
            # The queue, and what an experiment waits for.
            models.Index(
                fields=["experiment", "id"],
                condition=Q(status__in=["queued", "running"]),
                name="rescoring_unfinished",
            ),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["rollout"], condition=Q(status__in=["queued", "running"]), name="rescoring_one_at_a_time"
            ),
        ]

    def __str__(self) -> str:
        return f"rescoring of rollout {self.rollout_id}"


class DroppedText(models.Model):
    """The digest of a text that a deleted row referred to. A worker deletes the text if no other row needs it."""

    digest = models.CharField(max_length=64, primary_key=True)

    def __str__(self) -> str:
        return self.digest[:12]
