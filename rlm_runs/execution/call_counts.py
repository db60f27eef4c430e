"""Counts of calls by model and hour, updated as calls are recorded, so that pages need not read the calls.

The sweep sums the rows of past hours over processes, and those older than a week into months.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from ..models import ModelHour
from .count_table import CountTable
from .worker_registry import process_name

DAYS = 8
"""The number of days for which hourly counts are kept."""
_TABLE = CountTable(
    name=ModelHour._meta.db_table,
    keys=("model", "hour"),
    sums=(
        *("calls", "errors", "retries", "unpriced", "prompt_tokens", "completion_tokens", "seconds", "cost"),
        "provider_cost",
    ),
    latest=("last_at",),
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
    writer = process_name()
    _TABLE.add([(model, hour, writer, *astuple(sums)) for (model, hour), sums in sorted(hours.items())])


def correct(model: str, ended_at: datetime, *, calls_priced: int, dollars: Decimal) -> None:
    """Adds `dollars` to the cost of an hour after a repricing, in which `calls_priced` calls got their
    first cost.
    """
    hour = ended_at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    sums = Sums(unpriced=-calls_priced, cost=dollars)
    _TABLE.add([(model, hour, f"repricing {process_name()}", *astuple(sums))])


def fold() -> None:
    """Sums rows over their writers two hours after their hour ended, and rows older than DAYS into their month.

    Only one process may run it at a time.
    """
    month = "date_trunc('month', hour, 'UTC')"
    old = f"hour < now() - interval '{DAYS} days'"
    _TABLE.fold(
        f"(writer <> '' AND hour < now() - interval '2 hours') OR ({old} AND hour <> {month})",
        periods={"hour": f"CASE WHEN {old} THEN {month} ELSE hour END"},
    )
