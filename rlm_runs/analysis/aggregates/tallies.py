"""Counts and sums of an experiment's rollouts by arm and state, the input of progress and costs.

One pass over an index that holds these columns computes everything, without reading a row.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import Count, Max, Min, Q, Sum

from rlm_runs.models import Experiment, Rollout

_NOTHING = Decimal(0)
_BEGUN_AND_ENDED = Q(status__in=Rollout.FINISHED, started_at__isnull=False)


@dataclass(frozen=True)
class Tally:
    """The rollouts of one arm with the same status, stop reason and kind of sandbox.

    Sums are of known values, in dollars. `begun` counts rollouts that began and ended; `unpriced` counts those of
    them with an unknown cost; `unknown` those with an unknown cost or judge cost.
    """

    experiment: int
    arm: int
    status: str
    stop_reason: str
    sandbox_backend: str
    total: int
    cost: Decimal
    earlier_cost: Decimal
    judge_cost: Decimal
    begun: int
    unpriced: int
    unknown: int
    began_at: datetime | None
    ended_at: datetime | None


def tally(experiments: Iterable[Experiment]) -> list[Tally]:
    """Returns the tallies of these experiments. Each rollout is in exactly one. One query."""
    rows = (
        Rollout.objects.filter(experiment__in=experiments)
        .order_by()
        .values_list("experiment", "arm", "status", "stop_reason", "sandbox_backend")
        .annotate(
            total=Count("pk"),
            known_cost=Sum("cost", default=_NOTHING),
            known_earlier_cost=Sum("earlier_cost", default=_NOTHING),
            known_judge_cost=Sum("judge_cost", default=_NOTHING),
            begun=Count("pk", filter=_BEGUN_AND_ENDED),
            unpriced=Count("pk", filter=_BEGUN_AND_ENDED & Q(cost=None)),
            unknown=Count("pk", filter=_BEGUN_AND_ENDED & (Q(cost=None) | Q(judge_cost=None))),
            began_at=Min("started_at"),
            ended_at=Max("finished_at"),
        )
    )
    return [Tally(*row) for row in rows]
