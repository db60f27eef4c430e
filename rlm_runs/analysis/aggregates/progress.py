"""The progress of experiments, and their cost so far."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db.models import Count
from django.utils import timezone

from rlm_runs.models import Experiment, Rollout

from .frame import Outcome
from .snapshot import Snapshot
from .tallies import Tally, tally
from .unscored import TOO_LONG

_RECENT = timedelta(seconds=60)


@dataclass(frozen=True)
class Progress:
    """The progress of an experiment: counts of its rollouts by state.

    `cost` sums the priced rollouts over all attempts; `unpriced` counts the others. The cost of judges is
    separate.
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
        """Rollouts that ended, for any reason."""
        return self.completed + self.too_long + self.failed + self.cancelled

    @property
    def queued(self) -> int:
        """Rollouts that no worker has claimed."""
        return self.total - self.done - self.running

    @property
    def seconds_taken(self) -> float | None:
        """Seconds from the first start to the last end."""
        if self.began_at is None or self.last_ended_at is None:
            return None
        return (self.last_ended_at - self.began_at).total_seconds()

    @property
    def is_finished(self) -> bool:
        """Whether all rollouts have ended."""
        return self.done == self.total

    @property
    def percent(self) -> int:
        """The share of ended rollouts in whole percent; 100 only if all have ended."""
        return self.done * 100 // self.total if self.total else 100

    @property
    def per_minute(self) -> float | None:
        """The recent number of ended rollouts per minute; None if none has ended recently."""
        return self.recent * 60 / self.recent_seconds if self.recent and self.recent_seconds else None

    @property
    def seconds_left(self) -> float | None:
        """Seconds to the end at the recent rate; None without a rate."""
        return (self.total - self.done) / self.per_minute * 60 if self.per_minute else None

    @property
    def version(self) -> str:
        """A hash that changes whenever one of the counts does, for live pages to compare."""
        counts = (self.total, self.completed, self.too_long, self.failed, self.cancelled, self.running, self.cost)
        return hashlib.sha256(repr(counts).encode()).hexdigest()[:16]


def progress(experiment: Experiment, *, now: datetime | None = None) -> Progress:
    """Returns the progress of one experiment. Two queries."""
    return progress_by_experiment([experiment], now=now)[experiment.pk]


def progress_by_experiment(
    experiments: Sequence[Experiment], *, now: datetime | None = None
) -> dict[int, Progress]:
    """Returns the progress of several experiments. Two queries."""
    parts: dict[int, list[Tally]] = {experiment.pk: [] for experiment in experiments}
    for found in tally(experiments):
        parts[found.experiment].append(found)
    now = now or timezone.now()
    recent = _recent(experiments, now)
    return {pk: _progress(tallies, recent=recent.get(pk, 0), now=now) for pk, tallies in parts.items()}


def progress_from(tallies: Sequence[Tally], experiment: Experiment) -> Progress:
    """Returns the progress from existing counts. One query, from an index."""
    now = timezone.now()
    return _progress(tallies, recent=_recent([experiment], now).get(experiment.pk, 0), now=now)


def _recent(experiments: Sequence[Experiment], now: datetime) -> dict[int, int]:
    """Returns a map of experiment → the number of rollouts that ended recently."""
    ended = Rollout.objects.filter(
        experiment__in=experiments, status__in=Rollout.FINISHED, finished_at__gte=now - _RECENT
    )
    return dict(ended.order_by().values_list("experiment").annotate(Count("pk")))


def _progress(tallies: Sequence[Tally], *, recent: int, now: datetime) -> Progress:
    def counted(*, status: str, too_long: bool | None = None) -> int:
        return sum(
            each.total
            for each in tallies
            if each.status == status and too_long in (None, each.stop_reason == TOO_LONG)
        )

    began_at = min((each.began_at for each in tallies if each.began_at), default=None)
    ran_for = (now - began_at).total_seconds() if began_at else 0.0
    return Progress(
        total=sum(each.total for each in tallies),
        arms=len({each.arm for each in tallies}),
        completed=counted(status=Rollout.Status.COMPLETED),
        too_long=counted(status=Rollout.Status.FAILED, too_long=True),
        failed=counted(status=Rollout.Status.FAILED, too_long=False),
        cancelled=counted(status=Rollout.Status.CANCELLED),
        running=counted(status=Rollout.Status.RUNNING),
        cost=sum((each.cost + each.earlier_cost for each in tallies), Decimal(0)),
        judge_cost=sum((each.judge_cost for each in tallies), Decimal(0)),
        unpriced=sum(each.unknown for each in tallies),
        recent=recent,
        recent_seconds=min(ran_for, _RECENT.total_seconds()),
        began_at=began_at,
        last_ended_at=max((each.ended_at for each in tallies if each.ended_at), default=None),
        process_sandbox=sum(each.total for each in tallies if each.sandbox_backend == "process"),
    )


def snapshot_progress(snapshot: Snapshot) -> Progress:
    """Returns the progress of a snapshot's experiment. It is kept with the snapshot once every rollout has
    ended.
    """

    def now() -> Progress:
        return progress_from(snapshot.tallies(), snapshot.experiment)

    is_running = (snapshot.frame()["outcome"] == Outcome.UNFINISHED).any()
    return now() if is_running else snapshot.remembered("progress", now)
