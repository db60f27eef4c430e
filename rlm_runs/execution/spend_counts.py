"""Spend by day, experiment and model, counted as calls are recorded, so that no page needs to sum rollouts.

The sweep sums the rows of past days over processes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from ..models import SpendDay
from .count_table import CountTable
from .worker_registry import process_name

_TABLE = CountTable(
    name=SpendDay._meta.db_table,
    keys=("day", "experiment_id", "model"),
    sums=("calls", "unpriced", "cost"),
)


def count(calls: Iterable[tuple[int, str, Mapping[str, Any]]]) -> None:
    """Counts calls, each given as an experiment, a model and the row of its turn. Call it in their transaction."""
    sums: dict[tuple[date, int, str], tuple[int, int, Decimal]] = {}
    for experiment, model, turn in calls:
        key = _day(turn["ended_at"]), experiment, model
        number, unpriced, cost = sums.get(key, (0, 0, Decimal(0)))
        sums[key] = number + 1, unpriced + (turn["cost"] is None), cost + (turn["cost"] or 0)
    _TABLE.add([(*key, process_name(), *found) for key, found in sorted(sums.items())])


def correct(model: str, ended_at: datetime, *, experiment: int, calls_priced: int, dollars: Decimal) -> None:
    """Adds `dollars` to the cost of a day after a repricing, in which `calls_priced` calls got their first
    cost.
    """
    _TABLE.add([(_day(ended_at), experiment, model, f"repricing {process_name()}", 0, -calls_priced, dollars)])


def _day(moment: datetime) -> date:
    return moment.astimezone(UTC).date()


def fold() -> None:
    """Sums rows over their writers two hours after their day ended. Only one process may run it at a time."""
    _TABLE.fold("writer <> '' AND day < (now() - interval '2 hours') AT TIME ZONE 'UTC' - interval '1 day'")
