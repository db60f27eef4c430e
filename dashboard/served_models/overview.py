"""The data of the Models page: the endpoints file, and the counts of calls by hour.

Two queries for any size of the store; neither reads a call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Any

from django.db.models import Max, Q, Sum, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from rlm_runs.execution.endpoints import Endpoint, ModelChoice, model_choices
from rlm_runs.execution.prices import KnownPrice, listed_window, price_of, provider_of
from rlm_runs.models import ModelHour, ModelProbe

DAY, WEEK = timedelta(days=1), timedelta(days=7)


@dataclass(frozen=True)
class Period:
    """The calls of a period. `tokens_per_second` covers calls with completion tokens; None without any."""

    calls: int = 0
    errors: int = 0
    tokens_per_second: float | None = None

    @property
    def error_rate(self) -> float | None:
        """The share of calls that ended in an error after all tries; None without calls."""
        return self.errors / self.calls if self.calls else None


@dataclass(frozen=True)
class Calls:
    """The calls of a model. `spend` sums priced calls; `provider_cost` is what the provider reported."""

    last_at: datetime | None = None
    day: Period = Period()
    week: Period = Period()
    calls: int = 0
    unpriced: int = 0
    spend: Decimal = Decimal(0)
    provider_cost: Decimal = Decimal(0)

    @property
    def speed(self) -> float | None:
        """Tokens per second of the last day, else of the last week; None without any."""
        return self.day.tokens_per_second or self.week.tokens_per_second


@dataclass(frozen=True)
class ModelRow:
    """An available model. `window` comes from the endpoints file, else from a probe or the price list."""

    choice: ModelChoice
    price: KnownPrice | None
    window: int | None
    window_from: str
    calls: Calls
    probe: ModelProbe | None

    @property
    def name(self) -> str:
        """The model's name in experiments."""
        return self.choice.name


@dataclass(frozen=True)
class EndpointRows:
    """An endpoint with its models. `provider` is the one whose prices apply, "" without one."""

    endpoint: Endpoint
    provider: str
    models: tuple[ModelRow, ...]


@dataclass(frozen=True)
class Overview:
    """All models at one moment. `former` were called and are no longer in the endpoints file."""

    at: datetime
    endpoints: tuple[EndpointRows, ...]
    former: tuple[tuple[str, Calls], ...]

    @property
    def has_endpoints(self) -> bool:
        """Whether there is an endpoint besides the simulated one."""
        return any(not rows.endpoint.simulated for rows in self.endpoints)


def overview() -> Overview:
    """Returns the current models. Raises ImproperlyConfigured for an invalid endpoints file."""
    now = timezone.now()
    calls, probes = _calls(now), _probes()
    choices = model_choices()
    rows = [_row(choice, calls, probes, now) for choice in choices]
    known = {choice.name for choice in choices}
    return Overview(
        at=now,
        endpoints=tuple(
            EndpointRows(endpoint, provider_of(of_endpoint[0].choice), tuple(of_endpoint))
            for endpoint, found in groupby(rows, key=lambda row: row.choice.endpoint)
            for of_endpoint in [list(found)]
        ),
        former=tuple(sorted((name, found) for name, found in calls.items() if name not in known)),
    )


def _row(
    choice: ModelChoice, calls: Mapping[str, Calls], probes: Mapping[str, ModelProbe], now: datetime
) -> ModelRow:
    probe = probes.get(choice.name)
    windows = (
        (choice.window, "endpoints file"),
        (probe.window if probe else None, "probe"),
        (listed_window(choice, at=now), "genai-prices"),
    )
    window, window_from = next((each for each in windows if each[0]), (None, ""))
    return ModelRow(
        choice=choice,
        price=price_of(choice, at=now),
        window=window,
        window_from=window_from,
        calls=calls.get(choice.name, Calls()),
        probe=probe,
    )


def _calls(now: datetime) -> dict[str, Calls]:
    """Returns the calls by model. Periods begin at a full hour."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    day, week = Q(hour__gte=hour - DAY), Q(hour__gte=hour - WEEK)
    nothing = Value(0)
    rows = ModelHour.objects.order_by("model").values("model").annotate(
        last=Max("last_at"),
        **{f"{name}_day": Coalesce(Sum(name, filter=day), nothing) for name in ("calls", "errors")},
        **{f"{name}_week": Coalesce(Sum(name, filter=week), nothing) for name in ("calls", "errors")},
        tokens_day=Sum("completion_tokens", filter=day),
        seconds_day=Sum("seconds", filter=day),
        tokens_week=Sum("completion_tokens", filter=week),
        seconds_week=Sum("seconds", filter=week),
        all_calls=Sum("calls"),
        all_unpriced=Sum("unpriced"),
        all_cost=Sum("cost"),
        all_provider_cost=Sum("provider_cost"),
    )  # fmt: skip
    return {
        row["model"]: Calls(
            last_at=row["last"],
            day=_period(row, "day"),
            week=_period(row, "week"),
            calls=row["all_calls"],
            unpriced=row["all_unpriced"],
            spend=row["all_cost"],
            provider_cost=row["all_provider_cost"],
        )
        for row in rows
    }


def _period(row: Mapping[str, Any], name: str) -> Period:
    tokens, seconds = row[f"tokens_{name}"], row[f"seconds_{name}"]
    speed = tokens / seconds if tokens and seconds else None
    return Period(row[f"calls_{name}"], row[f"errors_{name}"], speed)


def _probes() -> dict[str, ModelProbe]:
    """Returns the newest probe of each model."""
    newest = ModelProbe.objects.order_by("model", "-pk").distinct("model")
    return {probe.model: probe for probe in newest}
