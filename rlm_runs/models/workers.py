"""Worker processes, each with its last heartbeat."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Now


class WorkerProcessQuerySet(models.QuerySet["WorkerProcess"]):
    """Worker processes by their state. All comparisons use the database's clock."""

    def alive(self) -> WorkerProcessQuerySet:
        """Returns processes that have not stopped and sent a heartbeat within RLM_LEASE_SECONDS."""
        return self.filter(stopped_at=None, last_seen_at__gte=_ago(settings.RLM_LEASE_SECONDS))

    def dead(self) -> WorkerProcessQuerySet:
        """Returns processes that stopped, or whose last heartbeat is older than RLM_LEASE_SECONDS."""
        return self.exclude(stopped_at=None, last_seen_at__gte=_ago(settings.RLM_LEASE_SECONDS))

    def last_seen_before(self, age: timedelta) -> WorkerProcessQuerySet:
        """Returns processes whose last heartbeat is older than `age`."""
        return self.filter(last_seen_at__lt=_ago(age.total_seconds()))


def _ago(seconds: float) -> models.expressions.CombinedExpression:
    return Now() - timedelta(seconds=seconds)


class WorkerProcess(models.Model):
    """A worker process. `name` is `host:pid`, the value of `Rollout.worker` for the rollouts that it runs.

    `capacity` holds the limits that the process started with, such as {"concurrency": 100, "containers": 40}.
    `versions` holds the versions of its software, such as {"rlm_runs": "3f2a…", "python": "3.11.9"}.
    """

    name = models.CharField(max_length=200, unique=True)
    host = models.CharField(max_length=180)
    pid = models.PositiveIntegerField()
    started_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    stopped_at = models.DateTimeField(null=True, help_text="Set by an orderly shutdown.")
    capacity = models.JSONField(default=dict)
    running = models.PositiveIntegerField(default=0, help_text="Rollouts under way at the last heartbeat.")
    versions = models.JSONField(default=dict)
    sandbox_backend = models.CharField(max_length=10, blank=True)

    objects = WorkerProcessQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["host", "pid"]

    def __str__(self) -> str:
        return f"worker {self.name}"
