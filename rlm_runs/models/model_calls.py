"""Data about models besides their rollouts: calls by hour, spend by day, and findings of probes."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from .experiments import Experiment


class ModelHour(models.Model):
    """The calls of one model that ended in one hour, as one writer counted them.

    `writer` is the worker process that owns the row, so that no two write the same row; "" marks the sum of
    earlier writers, which the sweep computes. Rows older than a week are summed into the first hour of their
    month. Calls of imported rollouts are not counted.
    """

    model = models.CharField(max_length=200)
    hour = models.DateTimeField()
    writer = models.CharField(max_length=200, blank=True)
    calls = models.BigIntegerField(default=0)
    errors = models.BigIntegerField(default=0, help_text="Calls that ended in an error, after all tries.")
    retries = models.BigIntegerField(default=0)
    unpriced = models.BigIntegerField(default=0, help_text="Calls without a cost.")
    prompt_tokens = models.BigIntegerField(default=0)
    completion_tokens = models.BigIntegerField(default=0)
    seconds = models.FloatField(default=0, help_text="Of calls with completion tokens, without failed tries.")
    cost = models.DecimalField(max_digits=24, decimal_places=10, default=0)
    provider_cost = models.DecimalField(max_digits=24, decimal_places=10, default=0)
    last_at = models.DateTimeField(null=True, help_text="When the last of them ended.")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["hour", "model", "writer"], name="model_hour_once"),
        ]

    def __str__(self) -> str:
        return f"{self.model} at {self.hour:%Y-%m-%d %H}"


class SpendDay(models.Model):
    """The cost of one model's calls for one experiment on one day (UTC), as one writer counted it.

    It is written like ModelHour, in the transactions of the calls, by `writer`; "" marks the sum of earlier
    writers. Rows of a deleted experiment stay, because the money is spent. Imported calls are not counted.
    """

    day = models.DateField()
    experiment = models.ForeignKey(
        Experiment, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    model = models.CharField(max_length=200)
    writer = models.CharField(max_length=200, blank=True)
    calls = models.BigIntegerField(default=0)
    unpriced = models.BigIntegerField(default=0, help_text="Calls without a cost.")
    cost = models.DecimalField(max_digits=24, decimal_places=10, default=0)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["day", "experiment", "model", "writer"], name="spend_day_once"),
        ]
        indexes: ClassVar = [
            # The cost of an experiment so far.
            models.Index(fields=["experiment"], include=["cost", "unpriced"], name="spend_day_experiment"),
        ]

    def __str__(self) -> str:
        return f"{self.model} on {self.day} for experiment {self.experiment_id}"


class ModelProbe(models.Model):
    """A probe of a model, requested on a page or by a command, and run by a worker or by the command itself.

    `findings` are lists of {"name", "verdict", "detail"}; `window` is the largest accepted prompt in tokens.
    """

    model = models.CharField(max_length=200)
    endpoint = models.CharField(max_length=80)
    host = models.CharField(max_length=200, blank=True)
    with_window = models.BooleanField(default=False)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL)
    requested_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    findings = models.JSONField(default=list)
    window = models.PositiveIntegerField(null=True)
    error = models.TextField(blank=True, help_text="Why it could not be done; escaped as texts are.")

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["model", "-id"], name="probe_newest_of_model"),
            models.Index(fields=["id"], condition=Q(finished_at=None), name="probe_waiting"),
        ]

    def __str__(self) -> str:
        return f"probe of {self.model}"
