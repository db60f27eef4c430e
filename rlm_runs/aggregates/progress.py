"""How far experiments are, and what they cost so far."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Count, Max, Min, Q, Sum
from django.utils import timezone

from ..models import Experiment, Rollout
from .counting import BEGUN_AND_ENDED, CANCELLED, COMPLETED, FAILED, TOO_LONG

_RECENT = timedelta(seconds=60)


@dataclass(frozen=True)
class Progress:
    """How far the rollouts of an experiment are.

    `cost` sums what is priced, of all attempts; `unpriced` counts the other rollouts. Judges are paid apart.
    """

    total: int = 0
    arms: int = 0
    completed: int = 0
    too_long: int = 0
    failed: int = 0
    cancelled: int = 0
    running: int = 0
    cost: Decimal = Decimal(0)
    judge_cost: Decimal = Decimal(0)
    unpriced: int = 0
    recent: int = 0
    recent_seconds: float = 0.0
    began_at: datetime | None = None
    last_ended_at: datetime | None = None
    process_sandbox: int = 0

    @property
    def done(self) -> int:
        """Those that ended, however they did."""
        return self.completed + self.too_long + self.failed + self.cancelled

    @property
    def queued(self) -> int:
        """Those that no worker has taken yet."""
        return self.total - self.done - self.running

    @property
    def seconds_taken(self) -> float | None:
        """From the first start to the last end."""
        if self.began_at is None or self.last_ended_at is None:
            return None
        return (self.last_ended_at - self.began_at).total_seconds()

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.done == self.total

    @property
    def percent(self) -> int:
        """Whole percent, 100 only where all is done."""
        return self.done * 100 // self.total if self.total else 100

    @property
    def per_minute(self) -> float | None:
        """Rollouts that ended per minute of late; None while none has."""
        return self.recent * 60 / self.recent_seconds if self.recent and self.recent_seconds else None

    @property
    def seconds_left(self) -> float | None:
        """At the present rate; None where there is none."""
        return (self.total - self.done) / self.per_minute * 60 if self.per_minute else None

    @property
    def version(self) -> str:
        """Changes whenever one of the counts does: what a live page compares."""
        counts = (self.total, self.completed, self.too_long, self.failed, self.cancelled, self.running, self.cost)
        return hashlib.sha256(repr(counts).encode()).hexdigest()[:16]


_NOTHING = Progress()


def progress(experiment: Experiment, *, now: datetime | None = None) -> Progress:
    """How far one experiment is. One query."""
    return progress_by_experiment([experiment], now=now)[experiment.pk]


def progress_by_experiment(
    experiments: Sequence[Experiment], *, now: datetime | None = None
) -> dict[int, Progress]:
    """How far each of these is. One query."""
    now = now or timezone.now()
    rows = (
        Rollout.objects.filter(experiment__in=experiments)
        .values("experiment")
        .annotate(
            total=Count("id"),
            arms=Count("arm", distinct=True),
            completed=Count("id", filter=COMPLETED),
            too_long_count=Count("id", filter=FAILED & Q(stop_reason=TOO_LONG)),
            failed=Count("id", filter=FAILED & ~Q(stop_reason=TOO_LONG)),
            cancelled=Count("id", filter=CANCELLED),
            running=Count("id", filter=Q(status=Rollout.Status.RUNNING)),
            last_cost=Sum("cost", default=Decimal(0)),
            cost_before=Sum("earlier_cost", default=Decimal(0)),
            judging=Sum("judge_cost", default=Decimal(0)),
            unpriced=Count("id", filter=BEGUN_AND_ENDED & (Q(cost=None) | Q(judge_cost=None))),
            recent=Count("id", filter=Q(status__in=Rollout.FINISHED, finished_at__gte=now - _RECENT)),
            began_at=Min("started_at"),
            last_ended_at=Max("finished_at"),
            process_sandbox=Count("id", filter=Q(sandbox_backend="process")),
        )
    )
    found = {row["experiment"]: _progress(row, now) for row in rows}
    return {experiment.pk: found.get(experiment.pk, _NOTHING) for experiment in experiments}


def _progress(row: Mapping[str, Any], now: datetime) -> Progress:
    ran_for = (now - row["began_at"]).total_seconds() if row["began_at"] else 0.0
    return Progress(
        total=row["total"],
        arms=row["arms"],
        completed=row["completed"],
        too_long=row["too_long_count"],
        failed=row["failed"],
        cancelled=row["cancelled"],
        running=row["running"],
        cost=row["last_cost"] + row["cost_before"],
        judge_cost=row["judging"],
        unpriced=row["unpriced"],
        recent=row["recent"],
        recent_seconds=min(ran_for, _RECENT.total_seconds()),
        began_at=row["began_at"],
        last_ended_at=row["last_ended_at"],
        process_sandbox=row["process_sandbox"],
    )
