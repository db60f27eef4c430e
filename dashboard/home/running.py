"""The running experiments: their progress, speed and cost so far.

Counts come from indexes of rollouts, for these experiments only. The cost comes from the spend by day.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db.models import Count, Exists, OuterRef, Sum

from rlm_runs.analysis.aggregates import Progress
from rlm_runs.models import Experiment, Rollout, SpendDay
from rlm_runs.models.experiments import ExperimentQuerySet

SHOWN = 8
_RECENT = timedelta(seconds=60)
_TOO_LONG = "prompt_too_long"


@dataclass(frozen=True)
class Running:
    """An experiment with unfinished rollouts. `progress` has its counts and its cost so far."""

    experiment: Experiment
    progress: Progress

    @property
    def state(self) -> str:
        """Its state: running, paused, or queued while it waits for a worker."""
        if self.experiment.paused_at:
            return "paused"
        return "running" if self.progress.running else "queued"


def unfinished() -> Exists:
    """Returns the condition for experiments with unfinished rollouts, read from an index."""
    return Exists(Rollout.objects.unfinished().filter(experiment=OuterRef("pk")))


def listed() -> ExperimentQuerySet:
    """Returns the experiments of lists, without columns that only their own page shows."""
    return Experiment.objects.listed().defer("spec", "sources")


def running(now: datetime) -> tuple[Sequence[Running], int]:
    """Returns the newest running experiments, and the number of further ones."""
    under_way = listed().filter(unfinished(), cancelled_at=None).order_by("-priority", "-created_at", "-pk")
    found = list(under_way[: SHOWN + 1])
    more = under_way.count() - SHOWN if len(found) > SHOWN else 0
    shown = found[:SHOWN]
    if not shown:
        return (), 0
    counts, refused, recent, spent = _counts(shown), _refused(shown), _recent(shown, now), _spent(shown)
    progresses = (
        _progress(
            each,
            counts=counts[each.pk],
            refused=refused.get(each.pk, 0),
            recent=recent.get(each.pk, 0),
            spent=spent.get(each.pk, (Decimal(0), 0)),
            now=now,
        )
        for each in shown
    )
    return [Running(each, progress) for each, progress in zip(shown, progresses, strict=True)], more


def _progress(
    experiment: Experiment,
    *,
    counts: Mapping[str, int],
    refused: int,
    recent: int,
    spent: tuple[Decimal, int],
    now: datetime,
) -> Progress:
    cost, unpriced = spent
    return Progress(
        total=sum(counts.values()),
        completed=counts.get("completed", 0),
        too_long=refused,
        failed=counts.get("failed", 0) - refused,
        cancelled=counts.get("cancelled", 0),
        running=counts.get("running", 0),
        cost=cost,
        unpriced=unpriced,
        recent=recent,
        recent_seconds=min((now - experiment.created_at).total_seconds(), _RECENT.total_seconds()),
    )


def _counts(experiments: Sequence[Experiment]) -> Mapping[int, Mapping[str, int]]:
    rows = Rollout.objects.filter(experiment__in=experiments).order_by()
    found: defaultdict[int, dict[str, int]] = defaultdict(dict)
    for experiment, status, number in rows.values_list("experiment", "status").annotate(Count("pk")):
        found[experiment][status] = number
    return found


def _refused(experiments: Sequence[Experiment]) -> Mapping[int, int]:
    refused = Rollout.objects.filter(
        experiment__in=experiments, status=Rollout.Status.FAILED, stop_reason=_TOO_LONG
    )
    return dict(refused.order_by().values_list("experiment").annotate(Count("pk")))


def _recent(experiments: Sequence[Experiment], now: datetime) -> Mapping[int, int]:
    ended = Rollout.objects.filter(
        experiment__in=experiments, status__in=Rollout.FINISHED, finished_at__gte=now - _RECENT
    )
    return dict(ended.order_by().values_list("experiment").annotate(Count("pk")))


def _spent(experiments: Sequence[Experiment]) -> Mapping[int, tuple[Decimal, int]]:
    """Returns a map of experiment → dollars, including judging, and the number of calls without a price."""
    rows = SpendDay.objects.filter(experiment__in=experiments).order_by().values_list("experiment")
    return {pk: (cost, unpriced) for pk, cost, unpriced in rows.annotate(Sum("cost"), Sum("unpriced"))}
