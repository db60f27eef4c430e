"""Totals over the whole store for metrics, without reading the whole store at each scrape.

Counts by experiment and status come from one index. An experiment's sums are cached in this process until its
counts or its last end change, so that a finished experiment is summed once. All processes compute the same totals.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.models import Count, Max, Q, Sum

from ..models import Arm, Experiment, Rollout, WorkerProcess

FRESH_SECONDS = 5.0
"""Seconds for which a process answers scrapes from the same totals."""
TIMEOUT_SECONDS = 20
"""The time limit of a scrape's query."""
_BATCH = 200
"""The number of experiments that one query sums."""

Sums = Counter[tuple[str, ...]]
"""Sums by (quantity, *labels), such as ("tokens", model, "main", "prompt")."""
_State = tuple[tuple[str, int, datetime | None], ...]
"""An experiment's (status, count, last end) for each status, which changes whenever a rollout begins or ends."""


@dataclass(frozen=True)
class StoreTotals:
    """The store in numbers.

    `rollouts` is by status, `failures` by boundary, `connections` by state. `queued` is by priority and excludes
    paused experiments, whose queued rollouts are counted in `paused`.
    """

    rollouts: Mapping[str, int]
    queued: Mapping[int, int]
    paused: int
    failures: Mapping[str, int]
    sums: Sums
    workers_alive: int
    connections: Mapping[str, int]
    connection_limit: int


_lock = threading.Lock()
_totals: tuple[float, StoreTotals] | None = None
_sums: dict[int, tuple[tuple[_State, int], Sums]] = {}
"""Experiment → its state and revision, on which its sums depend, and the sums."""


def store_totals() -> StoreTotals:
    """Returns the totals, at most FRESH_SECONDS old. Raises DatabaseError."""
    global _totals
    with _lock:  # concurrent scrapes share one set of queries
        if _totals is None or time.monotonic() - _totals[0] > FRESH_SECONDS:
            _totals = (time.monotonic(), _read())
        return _totals[1]


def forget() -> None:
    """Drops the cached totals of this process."""
    global _totals
    with _lock:
        _totals = None
        _sums.clear()


def _read() -> StoreTotals:
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = '{TIMEOUT_SECONDS}s'")
        states = _states()
        _sum_up(states)
        queued, paused = _queue(states)
        return StoreTotals(
            rollouts=_by_status(states),
            queued=queued,
            paused=paused,
            failures=_failures(),
            sums=sum((sums for _, sums in _sums.values()), Sums()),
            workers_alive=WorkerProcess.objects.alive().count(),
            connections=_connections(),
            connection_limit=_connection_limit(),
        )


def _states() -> dict[int, _State]:
    rows = (
        Rollout.objects.order_by("experiment", "status")
        .values_list("experiment", "status")
        .annotate(n=Count("*"), last=Max("finished_at"))
    )
    found: defaultdict[int, list[tuple[str, int, datetime | None]]] = defaultdict(list)
    for experiment, status, n, last in rows:
        found[experiment].append((status, n, last))
    return {experiment: tuple(state) for experiment, state in found.items()}


def _by_status(states: Mapping[int, _State]) -> dict[str, int]:
    counts = Counter(dict.fromkeys(Rollout.Status.values, 0))
    for state in states.values():
        for status, n, _ in state:
            counts[status] += n
    return dict(counts)


def _queue(states: Mapping[int, _State]) -> tuple[dict[int, int], int]:
    """Returns the queued rollouts by priority, and those of paused experiments."""
    counts = {
        experiment: n
        for experiment, state in states.items()
        for status, n, _ in state
        if status == Rollout.Status.QUEUED
    }
    queued: Counter[int] = Counter()
    paused = 0
    rows = Experiment.everything.filter(pk__in=counts).values_list("pk", "priority", "paused_at")
    for experiment, priority, paused_at in rows:
        if paused_at is None:
            queued[priority] += counts[experiment]
        else:
            paused += counts[experiment]
    return dict(queued), paused


def _failures() -> dict[str, int]:
    failed = Rollout.objects.filter(status=Rollout.Status.FAILED).order_by("error_boundary")
    return dict(failed.values_list("error_boundary").annotate(n=Count("*")))


def _sum_up(states: Mapping[int, _State]) -> None:
    """Updates the cached sums of experiments that changed."""
    for gone in _sums.keys() - states.keys():
        del _sums[gone]
    revisions = dict(Experiment.everything.values_list("pk", "revision"))
    known = {pk: (state, revisions.get(pk, 0)) for pk, state in states.items()}
    stale = [pk for pk, at in known.items() if pk not in _sums or _sums[pk][0] != at]
    for start in range(0, len(stale), _BATCH):
        part = stale[start : start + _BATCH]
        fresh = _sums_of(part)
        _sums.update({pk: (known[pk], fresh.get(pk, Sums())) for pk in part})


_COLUMNS = ("main_prompt_tokens", "main_completion_tokens", "sub_prompt_tokens", "sub_completion_tokens")


def _sums_of(experiments: list[int]) -> dict[int, Sums]:
    """Returns the sums of experiments, read only from the narrow index."""
    models = {
        pk: (model, sub_model)
        for pk, model, sub_model in Arm.objects.filter(experiment__in=experiments).values_list(
            "pk", "model", "sub_model"
        )
    }
    rows = (
        Rollout.objects.filter(experiment__in=experiments)
        .order_by("experiment", "arm")
        .values("experiment", "arm")
        .annotate(
            calls=Sum("turns"),
            sub_calls_made=Sum("sub_turns"),
            total_cells=Sum("cells"),
            **{f"total_{name}": Sum(name) for name in _COLUMNS},
            total_cost=Sum("cost"),
            total_earlier=Sum("earlier_cost"),
            total_judging=Sum("judge_cost"),
            unpriced=Count("pk", filter=Q(cost=None) & ~Q(finished_at=None)),
        )
    )
    found: defaultdict[int, Sums] = defaultdict(Sums)
    for row in rows:
        found[row["experiment"]].update(_sums_in(row, *models[row["arm"]]))
    return found


def _sums_in(row: Mapping[str, Any], model: str, sub_model: str) -> Sums:
    """Returns the sums of one arm by quantity and labels, without zeros."""
    quantities: Iterable[tuple[tuple[str, ...], Any]] = (
        (("calls", model, "main"), row["calls"]),
        (("calls", sub_model, "sub"), row["sub_calls_made"]),
        (("cells", model), row["total_cells"]),
        (("tokens", model, "main", "prompt"), row["total_main_prompt_tokens"]),
        (("tokens", model, "main", "completion"), row["total_main_completion_tokens"]),
        (("tokens", sub_model, "sub", "prompt"), row["total_sub_prompt_tokens"]),
        (("tokens", sub_model, "sub", "completion"), row["total_sub_completion_tokens"]),
        (("cost", model, "last_attempt"), row["total_cost"]),
        (("cost", model, "earlier_attempts"), row["total_earlier"]),
        (("cost", model, "judge"), row["total_judging"]),
        (("unpriced", model), row["unpriced"]),
    )
    return Sums({key: float(value) for key, value in quantities if value})


def _connections() -> dict[str, int]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(state, 'other'), count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() GROUP BY 1"
        )
        return dict(cursor.fetchall())


def _connection_limit() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('max_connections')::int")
        return int(cursor.fetchone()[0])
