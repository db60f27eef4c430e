"""The ledger of experiments in Postgres: what each process has spent, and what it may spend.

A process writes totals, never increments, so a statement that is repeated after a broken connection counts nothing
twice. Spending is written in the transaction that stores the turns.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache

from django.db import connection, transaction
from django.db.models import Sum

from ...engine.events import Event, TurnEnded
from ...models import Experiment, ExperimentSpending
from ..worker_registry import process_name
from .amounts import NOTHING, Amount, Budget

LEASE = 10.0
"""Seconds for which a process may spend its grant without asking again."""
_LOCKS = 0x524C4D10
"""Class of the advisory locks, one per experiment."""

_SPEND = """
INSERT INTO rlm_runs_experimentspending (experiment_id, process, dollars, tokens, unpriced_calls)
SELECT * FROM unnest(%s::bigint[], %s::text[], %s::numeric[], %s::bigint[], %s::bigint[])
ON CONFLICT (experiment_id, process) DO UPDATE SET
  dollars = EXCLUDED.dollars, tokens = EXCLUDED.tokens, unpriced_calls = EXCLUDED.unpriced_calls
"""
_READ = """
SELECT process, dollars + assumed_dollars, tokens + assumed_tokens,
       CASE WHEN expires_at > clock_timestamp() THEN granted_dollars ELSE 0 END,
       CASE WHEN expires_at > clock_timestamp() THEN granted_tokens ELSE 0 END, seconds
  FROM rlm_runs_experimentspending WHERE experiment_id = %s
"""
_GRANT = """
INSERT INTO rlm_runs_experimentspending
  (experiment_id, process, assumed_dollars, assumed_tokens, granted_dollars, granted_tokens, expires_at)
VALUES (%s, %s, %s, %s, %s, %s, clock_timestamp() + make_interval(secs => %s))
ON CONFLICT (experiment_id, process) DO UPDATE SET
  assumed_dollars = EXCLUDED.assumed_dollars, assumed_tokens = EXCLUDED.assumed_tokens,
  granted_dollars = EXCLUDED.granted_dollars, granted_tokens = EXCLUDED.granted_tokens,
  expires_at = EXCLUDED.expires_at
"""


@dataclass(frozen=True)
class Spent:
    """This process's spending on an experiment."""

    amount: Amount = NOTHING
    unpriced_calls: int = 0


@dataclass(frozen=True)
class Standing:
    """An experiment's finances: its budget, all spending, and what other processes have spent or may spend."""

    budget: Budget
    spent: Amount
    others: Amount
    seconds: float

    @property
    def is_out_of_time(self) -> bool:
        """Whether the experiment's rollouts have used up their time."""
        return self.budget.seconds is not None and self.seconds >= self.budget.seconds


def process_key() -> str:
    """Returns a name of this process that no earlier process with its host and pid has."""
    return _process_key(os.getpid())


@cache
def _process_key(_: int) -> str:
    return f"{process_name()}:{uuid.uuid4().hex[:8]}"


def with_events(totals: Mapping[int, Spent], told: Iterable[tuple[int, Iterable[Event]]]) -> dict[int, Spent]:
    """Returns the totals with the cost of the events' turns added to their experiments."""
    changed: dict[int, Spent] = {}
    for experiment, events in told:
        for event in events:
            if isinstance(event, TurnEnded):
                before = changed.get(experiment) or totals.get(experiment, Spent())
                tokens = (event.usage.prompt or 0) + (event.usage.completion or 0)
                cost = event.provider_cost if event.cost is None else event.cost
                amount = before.amount + Amount(cost or Decimal(0), tokens)
                changed[experiment] = replace(
                    before, amount=amount, unpriced_calls=before.unpriced_calls + (cost is None)
                )
    return changed


def write(totals: Mapping[int, Spent]) -> None:
    """Writes this process's spending, in the transaction of the turns."""
    if not totals:
        return
    keys = sorted(totals)
    rows = [totals[key] for key in keys]
    with connection.cursor() as cursor:
        cursor.execute(
            _SPEND,
            [
                keys,
                [process_key()] * len(keys),
                [row.amount.dollars for row in rows],
                [row.amount.tokens for row in rows],
                [row.unpriced_calls for row in rows],
            ],
        )


def budget_of(experiment: Experiment) -> Budget:
    """Returns the budget of an experiment, as its row was read."""
    hours = experiment.budget_hours
    return Budget(experiment.budget_dollars, experiment.budget_tokens, None if hours is None else hours * 3600)


def budgets(experiments: Sequence[int]) -> dict[int, tuple[Budget, bool]]:
    """Returns the budget of each experiment, and whether it is paused because it reached it."""
    if not experiments:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, budget_dollars, budget_tokens, budget_hours, paused_at IS NOT NULL AND paused_by_budget"
            "  FROM rlm_runs_experiment WHERE id = ANY(%s)",
            [list(experiments)],
        )
        return {
            key: (Budget(dollars, tokens, None if hours is None else hours * 3600), is_paused)
            for key, dollars, tokens, hours, is_paused in cursor.fetchall()
        }


def locked_standing(experiment: int) -> Standing:
    """Returns the standing of an experiment. Its lock is held until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_LOCKS, experiment])
    return standing(experiment)


def standing(experiment: int) -> Standing:
    """Returns the current standing of an experiment."""
    budget = budgets([experiment]).get(experiment, (Budget(), False))[0]
    with connection.cursor() as cursor:
        cursor.execute(_READ, [experiment])
        rows = cursor.fetchall()
    spent, others, seconds = Amount(), Amount(), 0.0
    for process, its_dollars, its_tokens, granted_dollars, granted_tokens, its_seconds in rows:
        its = Amount(its_dollars, its_tokens)
        spent += its
        seconds += its_seconds
        if process != process_key():
            others += its.larger(Amount(granted_dollars, granted_tokens))
    return Standing(budget, spent, others, seconds)


def unpriced_calls(experiment: int) -> int:
    """Returns the number of an experiment's calls whose cost is unknown."""
    rows = ExperimentSpending.objects.filter(experiment=experiment)
    return int(rows.aggregate(calls=Sum("unpriced_calls"))["calls"] or 0)


def grant(experiment: int, granted: Amount, *, assumed: Amount) -> None:
    """Writes what this process may spend in total, and what it assumes for calls of unknown cost."""
    with connection.cursor() as cursor:
        cursor.execute(
            _GRANT,
            [
                experiment,
                process_key(),
                assumed.dollars,
                assumed.tokens,
                granted.dollars,
                granted.tokens,
                LEASE,
            ],
        )


_START = """
INSERT INTO rlm_runs_experimentspending (experiment_id, process, seconds, seconds_at)
SELECT running.id, '', 0, clock_timestamp()
  FROM (SELECT DISTINCT experiment_id AS id FROM rlm_runs_rollout WHERE status = 'running') running
ON CONFLICT (experiment_id, process) DO UPDATE SET
  seconds = rlm_runs_experimentspending.seconds + CASE
    WHEN rlm_runs_experimentspending.seconds_at > clock_timestamp() - make_interval(secs => %s)
    THEN extract(epoch FROM clock_timestamp() - rlm_runs_experimentspending.seconds_at) ELSE 0 END,
  seconds_at = clock_timestamp()
RETURNING experiment_id
"""


def count_time(*, gap: float) -> list[int]:
    """Adds the time since the last call to every running experiment. Returns these experiments.

    A gap of more than `gap` seconds is not counted.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_START, [gap])
        return [row[0] for row in cursor.fetchall()]
