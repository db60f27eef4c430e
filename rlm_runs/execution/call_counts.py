"""Counts of calls by model and hour, updated as calls are recorded, so that pages need not read the calls.

Each process counts in its own rows, in the transaction that records the calls. No two processes wait for each
other, and a call is counted exactly if it is stored. The sweep sums the rows of past hours over processes, and
those older than a week into months.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.db import connection

from ..models import ModelHour
from .worker_registry import process_name

DAYS = 8
"""The number of days for which hourly counts are kept."""
_TABLE = ModelHour._meta.db_table
_SUMS = (
    *("calls", "errors", "retries", "unpriced", "prompt_tokens", "completion_tokens", "seconds", "cost"),
    "provider_cost",
)
_ADD = ", ".join(f"{name} = h.{name} + excluded.{name}" for name in _SUMS)
_ON_CONFLICT = (
    f"ON CONFLICT (hour, model, writer) DO UPDATE SET {_ADD}, last_at = greatest(h.last_at, excluded.last_at)"
)


@dataclass
class Sums:
    """The sums of some calls, in the order of the columns."""

    calls: int = 0
    errors: int = 0
    retries: int = 0
    unpriced: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    cost: Decimal = Decimal(0)
    provider_cost: Decimal = Decimal(0)
    last_at: datetime | None = None

    def add(self, turn: Mapping[str, Any]) -> None:
        """Adds the row of a turn."""
        self.calls += 1
        self.errors += bool(turn["error"])
        self.retries += turn["retries"]
        self.unpriced += turn["cost"] is None
        self.prompt_tokens += turn["prompt_tokens"] or 0
        self.completion_tokens += turn["completion_tokens"] or 0
        if turn["completion_tokens"]:
            self.seconds += turn["seconds"] - turn["retry_seconds"]
        self.cost += turn["cost"] or 0
        self.provider_cost += turn["provider_cost"] or 0
        self.last_at = max(self.last_at or turn["ended_at"], turn["ended_at"])


def count(calls: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
    """Counts calls, each given as a model and the row of its turn. Call it in the transaction that writes the
    rows.
    """
    hours: dict[tuple[str, datetime], Sums] = {}
    for model, turn in calls:
        hour = turn["ended_at"].astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        hours.setdefault((model, hour), Sums()).add(turn)
    if not hours:
        return
    writer = process_name()
    rows = [(model, hour, writer, *astuple(sums)) for (model, hour), sums in sorted(hours.items())]
    _add(rows)


def correct(model: str, ended_at: datetime, *, calls_priced: int, dollars: Decimal) -> None:
    """Adds `dollars` to the cost of an hour after a repricing, in which `calls_priced` calls got their
    first cost.
    """
    hour = ended_at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    sums = Sums(unpriced=-calls_priced, cost=dollars)
    _add([(model, hour, f"repricing {process_name()}", *astuple(sums))])


def _add(rows: list[tuple[Any, ...]]) -> None:
    one = f"({', '.join(['%s'] * (4 + len(_SUMS)))})"
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {_TABLE} AS h (model, hour, writer, {', '.join(_SUMS)}, last_at)"
            f" VALUES {', '.join([one] * len(rows))} {_ON_CONFLICT}",
            [value for row in rows for value in row],
        )


def fold() -> None:
    """Sums rows over their writers two hours after their hour ended, and rows older than DAYS into their month.

    Only one process may run it at a time.
    """
    month = "date_trunc('month', hour, 'UTC')"
    old = f"hour < now() - interval '{DAYS} days'"
    with connection.cursor() as cursor:
        cursor.execute(
            f"""WITH folded AS (
                  DELETE FROM {_TABLE}
                   WHERE (writer <> '' AND hour < now() - interval '2 hours') OR ({old} AND hour <> {month})
               RETURNING *)
                INSERT INTO {_TABLE} AS h (model, hour, writer, {", ".join(_SUMS)}, last_at)
                SELECT model, CASE WHEN {old} THEN {month} ELSE hour END AS begin, '',
                       {", ".join(f"sum({name})" for name in _SUMS)}, max(last_at)
                  FROM folded GROUP BY model, begin {_ON_CONFLICT}"""
        )
