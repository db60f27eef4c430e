"""Repricing: gives calls of ended rollouts today's prices, and keeps a history of their former costs.

A call is priced by its stored token counts, for the time at which it ended. It keeps its cost if no price is known
today, or if the cost would be the same. Imported rollouts whose sums come from a file are skipped, and so are
calls of a main model that another endpoint serves today, because the price would be another server's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from ..engine.events import Usage
from ..models import Experiment, RepricedTurn, Repricing, Rollout, Turn
from ..models.experiments import RolloutQuerySet
from . import call_counts, spend_counts
from .endpoints import model_choices
from .experiment_log import COMMAND_LINE, record_action
from .prices import Prices
from .repriced_rollups import refresh_costs

_BATCH = 500
"""Rollouts per transaction."""


class Group(NamedTuple):
    """Calls that change in the same way. `before` is the former price version, "" for calls without a price."""

    model: str
    before: str
    after: str


@dataclass
class Sums:
    """Calls and dollars of a group. `before` sums the calls that had a price."""

    calls: int = 0
    before: Decimal = Decimal(0)
    after: Decimal = Decimal(0)


@dataclass
class Outcome:
    """The changes of a repricing, made or planned. `unknown` counts calls without a price today, `elsewhere` those
    that another endpoint serves today, `skipped` rollouts that have not ended or are imported.
    """

    groups: dict[Group, Sums] = field(default_factory=lambda: defaultdict(Sums))
    calls: int = 0
    unknown: int = 0
    elsewhere: int = 0
    rollouts: int = 0
    skipped: int = 0

    @property
    def changed(self) -> int:
        """The number of calls that change."""
        return sum(sums.calls for sums in self.groups.values())


@dataclass(frozen=True)
class _Call:
    """A stored, completed call. `main` is the main model of its arm, `endpoint` is where the arm reached it."""

    pk: int
    rollout: int
    model: str
    main: str
    endpoint: str
    ended_at: datetime
    cost: Decimal | None
    version: str
    usage: Usage


@dataclass(frozen=True)
class _Change:
    call: _Call
    cost: Decimal
    version: str


def reprice(rollouts: RolloutQuerySet, *, write: bool, actor: str = COMMAND_LINE, scope: str = "") -> Outcome:
    """Reprices these rollouts in batches, or with `write` false reports what would change.

    It may be interrupted and run again at any time.
    """
    job = _Job(actor=actor, scope=scope, write=write)
    ended = rollouts.filter(status__in=Rollout.FINISHED, reported=False)
    job.outcome.skipped = rollouts.count() - ended.count()
    for experiment in Experiment.objects.filter(pk__in=rollouts.values("experiment")).order_by("pk"):
        job.reprice(experiment, ended.filter(experiment=experiment))
    job.end()
    return job.outcome


class _Job:
    """One run. Its history begins with the first change that is written."""

    def __init__(self, *, actor: str, scope: str, write: bool) -> None:
        self.outcome = Outcome()
        self._actor, self._scope, self._write = actor, scope, write
        choices = model_choices()
        self._prices = Prices(choices)
        self._endpoints = {choice.name: choice.endpoint.name for choice in choices}
        self._history: Repricing | None = None

    def reprice(self, experiment: Experiment, rollouts: RolloutQuerySet) -> None:
        """Reprices an experiment, and notes it in the experiment's log."""
        changed, before, after = 0, Decimal(0), Decimal(0)
        for batch in _batches(rollouts):
            if not self._write:
                changes = self._changes(batch)
            else:
                with transaction.atomic():
                    changes = self._write_batch(experiment, batch)
            changed += len(changes)
            before += sum((change.call.cost or Decimal(0) for change in changes), Decimal(0))
            after += sum((change.cost for change in changes), Decimal(0))
        if self._write and changed:
            details = {"calls": changed, "before": f"{before:.4f}", "after": f"{after:.4f}"}
            record_action(experiment, action="repriced", actor=self._actor, details=details)

    def end(self) -> None:
        """Marks the history as complete."""
        if self._history is not None:
            Repricing.objects.filter(pk=self._history.pk).update(finished_at=Now())

    def _write_batch(self, experiment: Experiment, batch: Sequence[int]) -> list[_Change]:
        """Writes the changes of a batch and returns them. Locks the experiment first, like every change of ended
        rollouts.
        """
        Experiment.everything.filter(pk=experiment.pk).update(revision=F("revision") + 1)
        locked = Rollout.objects.filter(pk__in=batch, status__in=Rollout.FINISHED).order_by("pk")
        mine = list(locked.select_for_update(no_key=True).values_list("pk", flat=True))
        changes = self._changes(mine)
        if changes:
            self._history = self._history or Repricing.objects.create(by=self._actor, scope=self._scope)
            _store(changes, self._history)
            if not experiment.sources:
                _correct_counts(changes, experiment)
            refresh_costs(sorted({change.call.rollout for change in changes}))
        return changes

    def _changes(self, rollouts: Sequence[int]) -> list[_Change]:
        self.outcome.rollouts += len(rollouts)
        found = (self._change(call) for call in _calls(rollouts))
        return [change for change in found if change is not None]

    def _change(self, call: _Call) -> _Change | None:
        self.outcome.calls += 1
        served = self._endpoints.get(call.model)
        if call.model == call.main and served is not None and served != call.endpoint:
            self.outcome.elsewhere += 1
            return None
        cost = self._prices.cost(call.model, call.usage, call.ended_at)
        if cost is None:
            self.outcome.unknown += 1
            return None
        if cost.dollars == call.cost:
            return None
        sums = self.outcome.groups[Group(call.model, call.version, cost.version)]
        sums.calls += 1
        sums.before += call.cost or 0
        sums.after += cost.dollars
        return _Change(call, cost.dollars, cost.version)


def _batches(rollouts: RolloutQuerySet) -> Iterator[list[int]]:
    last = 0
    while batch := list(rollouts.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:_BATCH]):
        yield batch
        last = batch[-1]


def _calls(rollouts: Sequence[int]) -> Iterator[_Call]:
    """Yields the completed calls. The cost of a failed call is zero or unknown and stays as it is."""
    rows = Turn.objects.filter(trajectory__rollout__in=rollouts, error="").values_list(
        *("pk", "trajectory__rollout", "trajectory__model", "trajectory__rollout__arm__model"),
        *("trajectory__rollout__arm__endpoint", "ended_at", "cost", "price_version"),
        *("prompt_tokens", "cached_tokens", "cache_write_tokens", "completion_tokens", "reasoning_tokens"),
    )
    for pk, rollout, model, main, endpoint, ended_at, cost, version, *tokens in rows:
        prompt, cached, written, completion, reasoning = tokens
        usage = Usage(
            prompt=prompt, cached=cached, cache_write=written, completion=completion, reasoning=reasoning
        )
        yield _Call(pk, rollout, model, main, endpoint, ended_at, cost, version, usage)


def _correct_counts(changes: Sequence[_Change], experiment: Experiment) -> None:
    """Corrects the counts of calls and spend. Not for imported calls, which are not counted."""
    hours: dict[tuple[str, datetime], list[_Change]] = defaultdict(list)
    for change in changes:
        hours[change.call.model, change.call.ended_at.replace(minute=0, second=0, microsecond=0)].append(change)
    for (model, hour), group in sorted(hours.items()):
        priced = sum(change.call.cost is None for change in group)
        dollars = sum((change.cost - (change.call.cost or 0) for change in group), Decimal(0))
        call_counts.correct(model, hour, calls_priced=priced, dollars=dollars)
        spend_counts.correct(model, hour, experiment=experiment.pk, calls_priced=priced, dollars=dollars)


def _store(changes: Sequence[_Change], history: Repricing) -> None:
    """Stores the changes. The history comes first, because it reads the former cost from the row."""
    values: list[Any] = [
        [change.call.pk for change in changes],
        [change.cost for change in changes],
        [change.version for change in changes],
    ]
    turns, history_table = Turn._meta.db_table, RepricedTurn._meta.db_table
    new = "unnest(%s::bigint[], %s::numeric[], %s::text[]) AS new(id, cost, version)"
    with connection.cursor() as cursor:
        cursor.execute(
            f"""INSERT INTO {history_table}
                       (repricing_id, turn_id, old_cost, old_version, new_cost, new_version)
                SELECT %s, t.id, t.cost, t.price_version, new.cost, new.version
                  FROM {turns} t JOIN {new} USING (id)""",
            [history.pk, *values],
        )
        cursor.execute(
            f"UPDATE {turns} t SET cost = new.cost, price_version = new.version FROM {new} WHERE t.id = new.id",
            values,
        )
