"""The health of workers, and of the models called in the last day, from their own small tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db.models import Max, Sum

from rlm_runs.models import Circuit, ModelHour, Rollout, WorkerProcess

SHOWN = 8
_DAY = timedelta(days=1)
_FAILING = 0.1
"""The share of failed calls from which a model is shown as failing."""


@dataclass(frozen=True)
class Host:
    """The worker processes of one machine. `slots` is their capacity in rollouts, 0 if unknown."""

    name: str
    processes: int
    running: int
    slots: int
    seen_at: datetime


@dataclass(frozen=True)
class Workers:
    """All machines with a live process. `lost` counts processes that went silent with rollouts in the last day."""

    hosts: tuple[Host, ...]
    lost: int

    @property
    def processes(self) -> int:
        """The number of live processes."""
        return sum(host.processes for host in self.hosts)

    @property
    def slots(self) -> int:
        """The capacity of all workers in rollouts."""
        return sum(host.slots for host in self.hosts)


@dataclass(frozen=True)
class ModelHealth:
    """One model in the last day. `circuit` is set while the model fails all calls."""

    name: str
    calls: int
    errors: int
    tokens_per_second: float | None
    cost: Decimal
    unpriced: int
    last_at: datetime | None
    circuit: Circuit | None

    @property
    def error_rate(self) -> float | None:
        """The share of calls that failed after all tries."""
        return self.errors / self.calls if self.calls else None

    @property
    def is_failing(self) -> bool:
        """Whether the circuit is open, or too many calls fail."""
        return self.circuit is not None or (self.error_rate or 0.0) >= _FAILING


@dataclass(frozen=True)
class Health:
    """Workers, models, and the rollouts that they run."""

    workers: Workers
    models: tuple[ModelHealth, ...]
    running: int
    has_queue: bool

    @property
    def failing(self) -> Sequence[ModelHealth]:
        """The failing models."""
        return [model for model in self.models if model.is_failing]

    @property
    def open_circuits(self) -> int:
        """The number of models whose arms wait."""
        return sum(model.circuit is not None for model in self.models)


def health(now: datetime) -> Health:
    """Returns the current health. Five small queries."""
    return Health(
        workers=_workers(now),
        models=_models(now),
        running=Rollout.objects.filter(status=Rollout.Status.RUNNING).count(),
        has_queue=Rollout.objects.filter(status=Rollout.Status.QUEUED).exists(),
    )


def _workers(now: datetime) -> Workers:
    hosts: dict[str, Host] = {}
    for process in WorkerProcess.objects.alive():
        slots = process.capacity.get("concurrency", 0)
        before = hosts.get(process.host, Host(process.host, 0, 0, 0, process.last_seen_at))
        hosts[process.host] = Host(
            process.host,
            before.processes + 1,
            before.running + process.running,
            before.slots + (slots if isinstance(slots, int) else 0),
            max(before.seen_at, process.last_seen_at),
        )
    lost = WorkerProcess.objects.dead().filter(stopped_at=None, last_seen_at__gte=now - _DAY).count()
    return Workers(tuple(hosts.values()), lost)


def _models(now: datetime) -> tuple[ModelHealth, ...]:
    """Returns the models: open circuits first, then those with failed calls, then by calls."""
    circuits = {circuit.model: circuit for circuit in Circuit.objects.filter(opened_at__isnull=False)}
    hour = now.replace(minute=0, second=0, microsecond=0) - _DAY
    rows = (
        ModelHour.objects.filter(hour__gte=hour)
        .order_by()
        .values_list("model")
        .annotate(
            *(Sum("calls"), Sum("errors"), Sum("completion_tokens"), Sum("seconds"), Sum("cost"), Sum("unpriced")),
            Max("last_at"),
        )
    )
    found = [
        ModelHealth(
            model,
            calls,
            errors,
            tokens / seconds if seconds else None,
            cost,
            unpriced,
            last,
            circuits.pop(model, None),
        )
        for model, calls, errors, tokens, seconds, cost, unpriced, last in rows
    ]
    found += [ModelHealth(each.model, 0, 0, None, Decimal(0), 0, None, each) for each in circuits.values()]
    return tuple(sorted(found, key=lambda each: (each.circuit is None, -(each.error_rate or 0.0), -each.calls)))
