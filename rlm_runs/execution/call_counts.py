"""Calls by model and hour, counted as they are recorded, so that no page has to read calls to know them.

The sweep sums the rows of earlier hours over processes, and those older than a week into months.
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
"""Days for which hourly counts are kept."""
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
        """Adds a row of a turn."""
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
    """Counts calls, each a model and the row of the turn. Call it in the transaction that writes the rows."""
    hours: dict[tuple[str, datetime], Sums] = {}
    for model, turn in calls:
        hour = turn["ended_at"].astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        hours.setdefault((model, hour), Sums()).add(turn)
    writer = process_name()
    _TABLE.add([(model, hour, writer, *astuple(sums)) for (model, hour), sums in sorted(hours.items())])


def correct(model: str, ended_at: datetime, *, calls_priced: int, dollars: Decimal) -> None:
    """Adds to the cost of an hour, after calls were priced again: `calls_priced` of them had no cost before."""
    hour = ended_at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    sums = Sums(unpriced=-calls_priced, cost=dollars)
    _TABLE.add([(model, hour, f"repricing {process_name()}", *astuple(sums))])


def fold() -> None:
    """Sums rows whose hour is over by two hours over their writers, and rows older than DAYS into their month.

    For one process at a time.
    """
    month = "date_trunc('month', hour, 'UTC')"
    old = f"hour < now() - interval '{DAYS} days'"
    _TABLE.fold(
        f"(writer <> '' AND hour < now() - interval '2 hours') OR ({old} AND hour <> {month})",
        periods={"hour": f"CASE WHEN {old} THEN {month} ELSE hour END"},
    )
