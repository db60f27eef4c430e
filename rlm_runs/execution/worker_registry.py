"""Heartbeats of worker processes: each process keeps one `WorkerProcess` row while it runs.

Times come from the database's clock, so a machine whose clock is wrong still counts as alive.
"""

from __future__ import annotations

import os
import platform
import socket
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models.functions import Now

from ..models import WorkerProcess
from ..models.workers import WorkerProcessQuerySet

KEPT = timedelta(days=1)
"""Time for which the row of a dead process stays on the Workers page."""


def process_name() -> str:
    """Returns the name of this process, `host:pid`: the value of `Rollout.worker`."""
    return f"{socket.gethostname()}:{os.getpid()}"


def register(*, capacity: Mapping[str, Any], code_version: str = "", sandbox_backend: str = "") -> None:
    """Writes the row of this process and deletes rows of processes that died more than a day ago.

    A container that restarts may get the host name and pid of its predecessor. Its row replaces the old one.
    """
    WorkerProcess.objects.last_seen_before(KEPT).delete()
    WorkerProcess.objects.update_or_create(
        name=process_name(),
        defaults={
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started_at": Now(),
            "last_seen_at": Now(),
            "stopped_at": None,
            "capacity": dict(capacity),
            "running": 0,
            "versions": {"rlm_runs": code_version, "python": platform.python_version()},
            "sandbox_backend": sandbox_backend or settings.RLM_SANDBOX,
        },
    )


def heartbeat(*, running: int, sandbox_backend: str = "") -> bool:
    """Records that this process is alive and how many rollouts it runs.

    `sandbox_backend` is the backend in use, "" until one is. Returns False if the row is gone, for example because
    the database was away for more than a day; the caller registers again.
    """
    columns: dict[str, Any] = {"last_seen_at": Now(), "running": running}
    if sandbox_backend:
        columns["sandbox_backend"] = sandbox_backend
    return WorkerProcess.objects.filter(name=process_name()).update(**columns) == 1


def unregister() -> None:
    """Marks this process as stopped. The Workers page lists it for a day."""
    WorkerProcess.objects.filter(name=process_name()).update(last_seen_at=Now(), stopped_at=Now(), running=0)


def alive() -> WorkerProcessQuerySet:
    """Returns the processes with a heartbeat within the last RLM_LEASE_SECONDS."""
    return WorkerProcess.objects.alive()
