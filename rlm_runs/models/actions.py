"""The log of an experiment: each action on it, with its actor and its time."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now

from .experiments import Experiment


class ExperimentAction(models.Model):
    """An action on an experiment. `actor` is a user's name, `command line` or `worker`.

    `details` describes the action by short values, such as {"rollouts": 12, "cost": "0.31"}.
    """

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="actions", db_index=False)
    at = models.DateTimeField(db_default=Now())
    actor = models.CharField(max_length=150)
    action = models.CharField(max_length=40)
    details = models.JSONField(default=dict)

    class Meta:
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [
            models.Index(fields=["experiment", "-id"], name="action_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.action} by {self.actor}"
