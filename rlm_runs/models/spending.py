"""The spending of experiments that counts against their budgets."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from .experiments import Experiment


class ExperimentSpending(models.Model):
    """The spending of one worker process on an experiment since it started, and the amount that it may spend.

    `dollars` and `tokens` are those of the stored turns, written in their transactions. `assumed_*` are estimates
    for calls whose cost or usage is unknown. The process may spend up to `granted_*` until `expires_at`; after
    that, only what is spent counts. The row without a `process` holds the time that the experiment ran, and
    spending that predates these rows.
    """

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="spending", db_index=False)
    process = models.CharField(max_length=220)
    dollars = models.DecimalField(max_digits=18, decimal_places=10, default=0, db_default=0)
    tokens = models.BigIntegerField(default=0, db_default=0)
    unpriced_calls = models.BigIntegerField(default=0, db_default=0, help_text="Calls of unknown cost.")
    assumed_dollars = models.DecimalField(max_digits=18, decimal_places=10, default=0, db_default=0)
    assumed_tokens = models.BigIntegerField(default=0, db_default=0)
    granted_dollars = models.DecimalField(max_digits=18, decimal_places=10, default=0, db_default=0)
    granted_tokens = models.BigIntegerField(default=0, db_default=0)
    expires_at = models.DateTimeField(null=True)
    seconds = models.FloatField(default=0, db_default=0, help_text="Time in which any of its rollouts ran.")
    seconds_at = models.DateTimeField(null=True, help_text="When `seconds` was last added to.")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["experiment", "process"], name="spending_once"),
        ]

    def __str__(self) -> str:
        return f"spending of experiment {self.experiment_id} by {self.process or 'all'}"
