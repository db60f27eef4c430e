"""Retries: rollouts that ended without a reward are queued again, and their outcome is kept as an attempt.

The traces of earlier attempts stay where they are; each trajectory has the number of its attempt.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from django.db import connection, transaction
from django.db.models import Case, F, Value, When

from ..models import Attempt, Experiment, Rollout
from ..models.experiments import RolloutQuerySet
from . import queue
from .experiment_log import COMMAND_LINE, record_action
from .selection import OUTCOMES, Refused, Selection, with_outcomes

_KEPT = (
    *("id", "experiment", "arm", "example", "example_position", "repetition", "attempt", "worker"),
    *("claims", "cut_off", "given_back", "lease_expires_at", "created_at", "earlier_cost", "judge_cost"),
    "reported",
)
"""Fields of a rollout that a retry keeps, or that belong to no attempt."""
_OF_THE_ATTEMPT = [field for field in Rollout._meta.concrete_fields if field.name not in _KEPT]


def retryable(
    experiment: Experiment, selection: Selection, outcomes: Sequence[str] = ("failed",)
) -> RolloutQuerySet:
    """Returns the selected rollouts that ended in one of these outcomes. Raises Refused if none may be retried."""
    if experiment.sources:
        raise Refused("imported rollouts cannot be run again: their environment and model are not here")
    return with_outcomes(selection.of(experiment), outcomes)


def retry(
    experiment: Experiment,
    selection: Selection,
    *,
    outcomes: Sequence[str] = ("failed",),
    actor: str = COMMAND_LINE,
) -> int:
    """Queues a new attempt of these rollouts. Returns how many. Raises Refused if there are none.

    A cancelled experiment is reopened, provided that its running rollouts have stopped. The cost so far counts as
    `earlier_cost`.
    """
    with transaction.atomic():
        current = Experiment.objects.select_for_update(no_key=True).get(pk=experiment.pk)
        if current.cancelled_at and current.rollouts().filter(status=Rollout.Status.RUNNING).exists():
            raise Refused("it was cancelled, and its running rollouts have not stopped yet")
        wanted = retryable(current, selection, outcomes)
        # In the order in which leases and commits lock rollouts.
        ids = list(wanted.order_by("pk").select_for_update(no_key=True, of=("self",)).values_list("pk", flat=True))
        if not ids:
            raise Refused(f"no rollout of {current.slug} is {' or '.join(outcomes)} there")
        _keep_attempts(ids)
        Rollout.objects.filter(pk__in=ids).update(**_as_new(), earlier_cost=F("earlier_cost") + _COST)
        current.cancelled_at = None
        current.revision += 1
        current.save(update_fields=["cancelled_at", "revision"])
        details = {"rollouts": len(ids), "outcomes": ", ".join(outcomes), **selection.described()}
        record_action(current, action="retried", actor=actor, details=details)
        transaction.on_commit(queue.notify_workers)
    return len(ids)


def outcomes_of(experiment: Experiment) -> dict[str, int]:
    """Returns a map of outcomes → the number of rollouts that ended in them, for the outcomes that occur."""
    found = {name: experiment.rollouts().filter(condition).count() for name, condition in OUTCOMES.items()}
    return {name: count for name, count in found.items() if count}


def withdraw(queued: RolloutQuerySet) -> int:
    """Restores the previous outcome of those queued rollouts that wait for a retry. Returns how many.

    Call it in a transaction that has locked the experiment.
    """
    ids = list(queued.filter(attempt__gt=0).values_list("pk", flat=True))
    restored = [field.column for field in _OF_THE_ATTEMPT if field.column not in Attempt.OUTCOME]
    assignments = [f'"{name}" = a."{name}"' for name in Attempt.OUTCOME]
    assignments += [f'"{name}" = sums."{name}"' for name in (*restored, "earlier_cost")]
    table, attempts = Rollout._meta.db_table, Attempt._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"""WITH restored AS (
                  UPDATE {table} r SET {", ".join(assignments)}
                    FROM {attempts} a, jsonb_populate_record(NULL::{table}, a.sums) AS sums
                   WHERE r.id = ANY(%s) AND r.status = 'queued'
                     AND a.rollout_id = r.id AND a.number = r.attempt
               RETURNING a.id)
               DELETE FROM {attempts} WHERE id IN (SELECT id FROM restored)""",
            [ids],
        )
        return int(cursor.rowcount)


def _as_new() -> dict[str, Any]:
    """Returns the columns of an attempt as they are before it begins."""
    columns = {field.name: field.get_default() for field in _OF_THE_ATTEMPT}
    return columns | {"status": Rollout.Status.QUEUED, "worker": "", "lease_expires_at": None}


_COST = Case(When(started_at=None, then=Value(Decimal(0))), default=F("cost"))
"""Columns of the ended attempt; empty if it never began, which is not the same as unknown."""


def _keep_attempts(ids: Sequence[int]) -> None:
    """Copies the outcomes of the rollouts into rows of their own. A rollout that never began has none."""
    columns = ", ".join(f'"{name}"' for name in Attempt.OUTCOME)
    sums = [field.column for field in _OF_THE_ATTEMPT if field.column not in Attempt.OUTCOME]
    with connection.cursor() as cursor:
        cursor.execute(
            f"""INSERT INTO {Attempt._meta.db_table} (rollout_id, number, {columns}, sums)
                SELECT r.id, r.attempt, {columns},
                       (SELECT jsonb_object_agg(key, value) FROM jsonb_each(to_jsonb(r)) WHERE key = ANY(%s))
                  FROM {Rollout._meta.db_table} r WHERE r.id = ANY(%s) AND r.attempt > 0""",
            [[*sums, "earlier_cost"], list(ids)],
        )
