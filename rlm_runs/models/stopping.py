"""Arms that early stopping ended, and the last look at their experiments."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now

from .experiments import Arm, Experiment


class ArmDecision(models.Model):
    """The end of an arm before its last rollout, with the evidence for it.

    `ahead`, `behind` and `equivalent` are findings of the sequential test against `baseline`: `estimate` is the
    mean difference over the first `examples` examples, `low` and `high` are its confidence sequence, `e_value` is
    the evidence against no difference. `alpha` is the error rate of the experiment, `level` is this comparison's
    share of it. A `pruned` arm had the mean reward `estimate` after `rung` rollouts; `needed` was the lowest that
    passed. An `unneeded` baseline has no arm left to compare. `rollouts` is the number of the arm's queued
    rollouts that were cancelled with the stop reason `decided`. `reopened_at` is set when a user runs them after
    all.
    """

    class Reason(models.TextChoices):
        AHEAD = "ahead"
        BEHIND = "behind"
        EQUIVALENT = "equivalent"
        PRUNED = "pruned"
        UNNEEDED = "unneeded"

    arm = models.OneToOneField(Arm, on_delete=models.CASCADE, related_name="decision")
    at = models.DateTimeField(db_default=Now())
    reason = models.CharField(max_length=10, choices=Reason.choices)
    baseline = models.ForeignKey(Arm, null=True, on_delete=models.CASCADE, related_name="+")
    examples = models.PositiveIntegerField(default=0)
    estimate = models.FloatField(null=True)
    low = models.FloatField(null=True)
    high = models.FloatField(null=True)
    e_value = models.FloatField(null=True)
    alpha = models.FloatField(null=True)
    level = models.FloatField(null=True)
    needed = models.FloatField(null=True)
    rung = models.PositiveIntegerField(default=0)
    rollouts = models.PositiveIntegerField(help_text="Queued rollouts that were cancelled.")
    reopened_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["id"]

    def __str__(self) -> str:
        return f"{self.arm}: {self.reason}"


class StoppingLook(models.Model):
    """The last look of early stopping at an experiment, and the earliest time of the next one."""

    experiment = models.OneToOneField(
        Experiment, primary_key=True, on_delete=models.CASCADE, related_name="stopping_look"
    )
    looked_at = models.DateTimeField()
    next_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"look at experiment {self.pk}"
