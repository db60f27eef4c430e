"""The data of the Workers page: each worker process with its state and its rollouts.

Three queries for any size of the store: running rollouts are read through the partial index of running rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from django.db.models import Count, F, Window
from django.db.models.functions import RowNumber
from django.utils import timezone

from rlm_runs.models import Rollout, WorkerProcess

ROLLOUTS_PER_WORKER = 25
"""The maximum number of running rollouts listed per worker, oldest first."""
DEAD_WORKERS = 50
"""The maximum number of dead processes listed, last seen first."""


class State(StrEnum):
    """The state of a worker process.

    ALIVE sends heartbeats. STOPPED shut down in order. LOST stopped sending heartbeats without a shutdown.
    UNKNOWN has no row: rollouts name it, but its heartbeat was never recorded or its row was deleted.
    """

    ALIVE = "alive"
    STOPPED = "stopped"
    LOST = "lost"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class RunningRollout:
    """A running rollout. `started_at` is None until its first event is recorded."""

    pk: int
    attempt: int
    started_at: datetime | None
    environment: str
    scaffold: str
    example_number: int
    experiment_slug: str
    experiment_name: str

    def age(self, now: datetime) -> float | None:
        """Returns the seconds since the rollout's start; None before its first event."""
        return None if self.started_at is None else (now - self.started_at).total_seconds()


@dataclass(frozen=True)
class Worker:
    """A worker process with the rollouts that it runs, oldest first.

    `rollouts` holds at most ROLLOUTS_PER_WORKER of `rollout_count`. `process` is None if `state` is UNKNOWN.
    """

    name: str
    state: State
    process: WorkerProcess | None
    rollouts: tuple[RunningRollout, ...]
    rollout_count: int

    @property
    def is_alive(self) -> bool:
        """Whether the process sends heartbeats."""
        return self.state is State.ALIVE

    @property
    def unlisted(self) -> int:
        """The number of its rollouts that are not in `rollouts`."""
        return self.rollout_count - len(self.rollouts)


@dataclass(frozen=True)
class Overview:
    """All workers at one moment: live ones in the order of host and pid, then the others, last seen first."""

    at: datetime
    workers: tuple[Worker, ...]

    @property
    def alive(self) -> tuple[Worker, ...]:
        """Workers that send heartbeats."""
        return tuple(worker for worker in self.workers if worker.is_alive)

    @property
    def running(self) -> int:
        """The number of running rollouts, including those of lost workers."""
        return sum(worker.rollout_count for worker in self.workers)


def overview() -> Overview:
    """Returns the current workers."""
    counts = _counts()
    rollouts = _rollouts() if counts else {}
    processes = {process.name: (State.ALIVE, process) for process in WorkerProcess.objects.alive()}
    for process in WorkerProcess.objects.dead().order_by("-last_seen_at")[:DEAD_WORKERS]:
        processes[process.name] = (State.STOPPED if process.stopped_at else State.LOST, process)
    workers = [
        Worker(name, state, process, tuple(rollouts.get(name, ())), counts.get(name, 0))
        for name, (state, process) in processes.items()
    ]
    workers += [
        Worker(name, State.UNKNOWN, None, tuple(rollouts.get(name, ())), count)
        for name, count in sorted(counts.items())
        if name not in processes
    ]
    return Overview(at=timezone.now(), workers=tuple(workers))


def _counts() -> Mapping[str, int]:
    running = Rollout.objects.filter(status=Rollout.Status.RUNNING).order_by("worker")
    return dict(running.values_list("worker").annotate(n=Count("*")))


def _rollouts() -> Mapping[str, list[RunningRollout]]:
    rank = Window(RowNumber(), partition_by=F("worker"), order_by=[F("started_at").asc(nulls_last=True), F("pk")])
    rows = (
        Rollout.objects.filter(status=Rollout.Status.RUNNING)
        .annotate(rank=rank)
        .filter(rank__lte=ROLLOUTS_PER_WORKER)
        .order_by("worker", "rank")
        .values_list(
            *("worker", "pk", "attempt", "started_at", "arm__environment", "arm__scaffold", "example_position"),
            *("experiment__slug", "experiment__name"),
        )
    )
    found: defaultdict[str, list[RunningRollout]] = defaultdict(list)
    for worker, pk, attempt, started_at, environment, scaffold, position, slug, name in rows:
        found[worker].append(
            RunningRollout(pk, attempt, started_at, environment, scaffold, position + 1, slug, name)
        )
    return found
