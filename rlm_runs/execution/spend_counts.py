"""Spend by day, experiment and model, counted as calls are recorded, so that no page needs to sum rollouts.

It is written like the hours of `call_counts`: each process has its own rows, in the transaction that records the
calls. The sweep sums the rows of past days over processes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from django.db import connection

from ..models import SpendDay
from .worker_registry import process_name

_TABLE = SpendDay._meta.db_table
_COLUMNS = "day, experiment_id, model, writer, calls, unpriced, cost"
_ON_CONFLICT = (
    "ON CONFLICT (day, experiment_id, model, writer) DO UPDATE SET calls = s.calls + excluded.calls,"
    " unpriced = s.unpriced + excluded.unpriced, cost = s.cost + excluded.cost"
)


def count(calls: Iterable[tuple[int, str, Mapping[str, Any]]]) -> None:
    """Counts calls, each given as an experiment, a model and the row of its turn. Call it in their transaction."""
    sums: dict[tuple[date, int, str], tuple[int, int, Decimal]] = {}
    for experiment, model, turn in calls:
        key = _day(turn["ended_at"]), experiment, model
        number, unpriced, cost = sums.get(key, (0, 0, Decimal(0)))
        sums[key] = number + 1, unpriced + (turn["cost"] is None), cost + (turn["cost"] or 0)
    if sums:
        _add([(*key, process_name(), *found) for key, found in sorted(sums.items())])


def correct(model: str, ended_at: datetime, *, experiment: int, calls_priced: int, dollars: Decimal) -> None:
    """Adds `dollars` to the cost of a day after a repricing, in which `calls_priced` calls got their first
    cost.
    """
    _add([(_day(ended_at), experiment, model, f"repricing {process_name()}", 0, -calls_priced, dollars)])


def _day(moment: datetime) -> date:
    return moment.astimezone(UTC).date()


def _add(rows: list[tuple[Any, ...]]) -> None:
    values = ", ".join(["(%s, %s, %s, %s, %s, %s, %s)"] * len(rows))
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {_TABLE} AS s ({_COLUMNS}) VALUES {values} {_ON_CONFLICT}",
            [value for row in rows for value in row],
        )


def fold() -> None:
    """Sums rows over their writers two hours after their day ended. Only one process may run it at a time."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""WITH folded AS (
                  DELETE FROM {_TABLE}
                   WHERE writer <> '' AND day < (now() - interval '2 hours') AT TIME ZONE 'UTC' - interval '1 day'
               RETURNING *)
                INSERT INTO {_TABLE} AS s ({_COLUMNS})
                SELECT day, experiment_id, model, '', sum(calls), sum(unpriced), sum(cost)
                  FROM folded GROUP BY day, experiment_id, model {_ON_CONFLICT}"""
        )
