"""Lost workers: rollouts whose worker died return to the queue."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from pathlib import Path

from django.db.models import Q
from django.db.models.functions import Now

from ..models import Rollout
from .queue import give_back


def reap() -> int:
    """Gives back rollouts whose worker died. Returns how many.

    A worker on another machine counts as dead when its lease has expired. A process of this machine is dead if it
    is not in the process table.
    """
    running = Rollout.objects.filter(status=Rollout.Status.RUNNING)
    workers = running.values_list("worker", flat=True).distinct()
    rollouts = list(running.filter(is_lost(workers)).select_related("arm__experiment").order_by("pk"))
    for rollout in rollouts:
        give_back(rollout)
    return len(rollouts)


def is_lost(workers: Iterable[str]) -> Q:
    """Returns the condition for leased rows whose worker, one of `workers`, is dead."""
    dead = [name for name in workers if _is_dead_process(name)]
    return Q(lease_expires_at__lt=Now()) | Q(worker__in=dead)


def _is_dead_process(worker: str) -> bool:
    host, _, pid = worker.rpartition(":")
    return host == socket.gethostname() and pid.isdecimal() and not Path(f"/proc/{pid}").exists()
