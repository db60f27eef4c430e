"""The spend of the last thirty days by model and by experiment, from the spend by day."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from django.db.models import Sum

from rlm_runs.models import Experiment, SpendDay

DAYS = 30
SERIES = 5
"""The number of series with their own colour. The others share one."""


@dataclass(frozen=True)
class Series:
    """The cost of one model or experiment by day, from the first day to today. `address` is "" without a page."""

    name: str
    address: str
    days: tuple[Decimal, ...]

    @property
    def total(self) -> Decimal:
        """The sum over all days."""
        return sum(self.days, Decimal(0))


@dataclass(frozen=True)
class Spend:
    """Dollars of priced calls by day, by model and by experiment. `unpriced` counts the calls without a price."""

    days: tuple[date, ...]
    by_model: tuple[Series, ...]
    by_experiment: tuple[Series, ...]
    unpriced: int

    @property
    def by_day(self) -> tuple[Decimal, ...]:
        """The sum of each day."""
        return tuple(
            sum(parts, Decimal(0)) for parts in zip(*(each.days for each in self.by_model), strict=True)
        ) or ((Decimal(0),) * len(self.days))

    @property
    def today(self) -> Decimal:
        """The spend since midnight UTC."""
        return self.by_day[-1]

    @property
    def week(self) -> Decimal:
        """The spend of today and the six days before."""
        return sum(self.by_day[-7:], Decimal(0))

    @property
    def total(self) -> Decimal:
        """The spend of all days."""
        return sum(self.by_day, Decimal(0))


def spend(today: date) -> Spend:
    """Returns the spend until today (UTC). Two queries, and one for the names of the experiments."""
    days = tuple(today - timedelta(days=back) for back in reversed(range(DAYS)))
    rows = SpendDay.objects.filter(day__gte=days[0], day__lte=today).order_by()
    by_model, by_experiment = (_summed(rows, column, days) for column in ("model", "experiment"))
    names = _experiments(by_experiment)
    return Spend(
        days=days,
        by_model=_series({model: (str(model), "") for model in by_model}, by_model),
        by_experiment=_series(names, by_experiment),
        unpriced=rows.aggregate(found=Sum("unpriced"))["found"] or 0,
    )


def _summed(rows: object, column: str, days: Sequence[date]) -> Mapping[object, list[Decimal]]:
    place = {day: at for at, day in enumerate(days)}
    found: defaultdict[object, list[Decimal]] = defaultdict(lambda: [Decimal(0)] * len(days))
    for key, day, cost in rows.values_list(column, "day").annotate(Sum("cost")):  # type: ignore[attr-defined]
        found[key][place[day]] += cost
    return {key: costs for key, costs in found.items() if any(costs)}


def _experiments(found: Mapping[object, list[Decimal]]) -> Mapping[object, tuple[str, str]]:
    """Returns a map of experiment → its name and URL. Deleted experiments have neither."""
    rows = Experiment.objects.filter(pk__in=list(found)).only("pk", "name", "slug")
    return {each.pk: (each.name, each.get_absolute_url()) for each in rows}


def _series(names: Mapping[object, tuple[str, str]], costs: Mapping[object, list[Decimal]]) -> tuple[Series, ...]:
    """Returns the most expensive series, then the sum of the others, including deleted experiments."""
    order = sorted((key for key in costs if key in names), key=lambda key: sum(costs[key]), reverse=True)
    kept = order[:SERIES] if len(order) > SERIES + 1 else order
    series = [Series(*names[key], days=tuple(costs[key])) for key in kept]
    others = [costs[key] for key in costs if key not in kept]
    if others:
        label = f"{len(others)} others" if len(others) > 1 else "deleted"
        series.append(Series(label, "", tuple(sum(day, Decimal(0)) for day in zip(*others, strict=True))))
    return tuple(series)
