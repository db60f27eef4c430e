"""The queue of rollouts. The table is the queue: a worker claims the best queued rows under a lease.

A Celery message only says that there is work. A lost or duplicate message therefore costs nothing, and pausing,
priorities and fairness need no messages.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from celery import current_app
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Case, F, QuerySet, When
from django.db.models.functions import Now
from kombu.exceptions import KombuError

from ..models import Experiment, Rollout, RolloutNote, Turn
from . import circuit_queue
from .rollups import roll_up
from .worker_registry import process_name

logger = logging.getLogger(__name__)

WORK = "rlm_runs.tasks.work"
"""Name of the Celery task that wakes a worker."""
_MAX_ATTEMPTS = 10
_SEND_SECONDS = 2.0

# Experiments with queued rollouts, found by hops through the partial index `rollout_queue`: one index probe per
# such experiment, however many rollouts are stored.
_EXPERIMENTS = """
WITH RECURSIVE queued(id) AS (
  (SELECT experiment_id FROM rlm_runs_rollout WHERE status = 'queued' ORDER BY experiment_id LIMIT 1)
  UNION ALL
  SELECT (SELECT experiment_id FROM rlm_runs_rollout
           WHERE status = 'queued' AND experiment_id > queued.id ORDER BY experiment_id LIMIT 1)
    FROM queued WHERE queued.id IS NOT NULL
), running AS (
  SELECT experiment_id AS id, count(*) AS running FROM rlm_runs_rollout WHERE status = 'running' GROUP BY 1
)
SELECT e.id, e.priority, COALESCE(r.running, 0)
  FROM queued JOIN rlm_runs_experiment e USING (id) LEFT JOIN running r USING (id)
 WHERE e.paused_at IS NULL AND e.cancelled_at IS NULL
 ORDER BY e.priority DESC, COALESCE(r.running, 0), e.id
"""

# The rows are chosen in a CTE, which is computed once. A subquery could be computed once per row of a nested loop,
# with other rows each time, and claim more than the limit.
_CLAIM = """
WITH best AS MATERIALIZED (
  SELECT id FROM rlm_runs_rollout
   WHERE status = 'queued' AND experiment_id = %(experiment)s
     AND (arm_id = ANY(%(waiting)s)) = %(of_waiting)s
   ORDER BY repetition, example_position, id
   LIMIT %(limit)s
     FOR UPDATE SKIP LOCKED
)
UPDATE rlm_runs_rollout r
   SET status = 'running', claims = r.claims + 1, worker = %(worker)s,
       attempt = CASE WHEN r.cut_off THEN r.attempt ELSE r.attempt + 1 END,
       lease_expires_at = now() + make_interval(secs => %(lease)s)
  FROM best
 WHERE r.id = best.id
RETURNING r.id
"""


@dataclass(frozen=True)
class _Candidate:
    """An experiment with queued rollouts."""

    id: int
    priority: int
    running: int


def claim(limit: int) -> list[Rollout]:
    """Claims up to `limit` queued rollouts for this process. Returns them, running under its lease.

    Rollouts of the highest priority come first. Experiments of equal priority get equal shares of the running
    rollouts. Within an experiment, rollouts go by repetition and example, so that its arms progress evenly. Arms
    wait while one of their models has an open circuit; one rollout is claimed when a probe of the model is due.
    """
    ids: list[int] = []
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_EXPERIMENTS)
        candidates = [_Candidate(*row) for row in cursor.fetchall()]
        waiting = circuit_queue.waiting_arms([each.id for each in candidates])
        for arms in circuit_queue.arms_to_probe(waiting) if limit else ():
            experiments = [each.id for each in candidates if each.id in arms.experiments]
            ids += _claim(cursor, experiments, {"limit": 1, "waiting": list(arms.ids), "of_waiting": True})
        left_out = sorted({arm for arms in waiting.values() for arm in arms.ids})
        candidates = circuit_queue.with_other_work(candidates, waiting=left_out)
        for experiment, share in _shares(candidates, limit - len(ids)):
            count = min(share, limit - len(ids))
            ids += _claim(cursor, [experiment], {"limit": count, "waiting": left_out, "of_waiting": False})
            if len(ids) >= limit:
                break
    rows = Rollout.objects.select_related("arm__experiment", "example").in_bulk(ids)
    return [rows[pk] for pk in ids]


def _claim(cursor: Any, experiments: Iterable[int], parameters: Mapping[str, Any]) -> list[int]:
    """Claims rollouts of the first of these experiments that has any."""
    for experiment in experiments:
        cursor.execute(
            _CLAIM,
            {
                "worker": process_name(),
                "lease": settings.RLM_LEASE_SECONDS,
                "experiment": experiment,
                **parameters,
            },
        )
        if found := [row[0] for row in cursor.fetchall()]:
            return found
    return []


def release(running: Sequence[int]) -> int:
    """Requeues rollouts that this process claimed without knowing. Returns how many.

    `running` are the ids of the rollouts that it runs. A connection can break after the commit of a claim. No
    attempt has begun in this case, so the attempt number is decremented as well.
    """
    lost = Rollout.objects.filter(status=Rollout.Status.RUNNING, worker=process_name()).exclude(pk__in=running)
    before = Case(When(cut_off=True, then=F("attempt")), default=F("attempt") - 1)
    return lost.update(status=Rollout.Status.QUEUED, worker="", lease_expires_at=None, attempt=before)


def _shares(candidates: Sequence[_Candidate], limit: int) -> list[tuple[int, int]]:
    """Returns (experiment, rollouts to claim), in the order of claiming.

    Each free slot goes to the experiment with the fewest running rollouts among those of the highest priority. An
    experiment may have fewer queued rollouts than its share, so every experiment is listed again, in the same
    order, for the remaining slots.
    """
    shares = {each.id: 0 for each in candidates}
    level = [each for each in candidates if each.priority == candidates[0].priority]
    for _ in range(limit if level else 0):
        least = min(level, key=lambda each: each.running + shares[each.id])
        shares[least.id] += 1
    fair = [(each.id, shares[each.id]) for each in level if shares[each.id]]
    return [*fair, *((each.id, limit) for each in candidates)]


def give_back(rollout: Rollout, *, counts: bool = True) -> None:
    """Ends the hold on an interrupted rollout: requeues it, or ends it if it must not run again.

    The next worker resumes the attempt if it has a turn. With `counts`, the attempt counts towards a rollout's ten
    attempts, and a resume towards its few resumes without a new turn.
    """
    if Experiment.everything.filter(pk=rollout.experiment_id, cancelled_at__isnull=False).exists():
        end_cut_off(rollout, status=Rollout.Status.CANCELLED, stop_reason="cancelled", error="")
    elif counts and rollout.attempt - rollout.attempts.count() - rollout.given_back >= _MAX_ATTEMPTS:
        error = f"{rollout.attempt} attempts were cut off, each by the end of its worker; it is not tried again"
        end_cut_off(rollout, status=Rollout.Status.FAILED, stop_reason="worker_lost", error=error)
    else:
        turns = Turn.objects.filter(trajectory__rollout=rollout, trajectory__attempt=rollout.attempt, error="")
        goes_on = turns.exists()
        if goes_on and not counts:
            RolloutNote.excuse_last_resume(rollout)
        running_attempt(rollout).update(
            status=Rollout.Status.QUEUED,
            worker="",
            lease_expires_at=None,
            cut_off=goes_on,
            given_back=F("given_back") + (0 if counts or goes_on else 1),
        )


def end_cut_off(rollout: Rollout, *, status: Rollout.Status, stop_reason: str, error: str) -> None:
    """Ends an interrupted rollout with its sums so far."""
    with transaction.atomic():
        running_attempt(rollout).update(
            status=status,
            stop_reason=stop_reason,
            error=error,
            error_boundary="control" if status == Rollout.Status.CANCELLED else "worker",
            finished_at=Now(),
            lease_expires_at=None,
            **roll_up(rollout, attempt=rollout.attempt),
        )


def running_attempt(rollout: Rollout) -> QuerySet[Rollout]:
    """Returns the row if it still runs under the same claim. Every update by a worker filters by it."""
    return Rollout.objects.filter(pk=rollout.pk, status=Rollout.Status.RUNNING, claims=rollout.claims)


def notify_workers() -> None:
    """Tells a worker that there is work. Waits at most two seconds for the broker.

    Workers find the work within a second even without the message, so a hanging broker must not delay a launch.
    """
    sending = threading.Thread(target=_send_message, name="message", daemon=True)
    sending.start()
    sending.join(_SEND_SECONDS)
    if sending.is_alive():
        logger.warning("the broker does not answer; workers find the queued rollouts when they next look")


def _send_message() -> None:
    try:
        current_app.send_task(WORK, expires=60, retry=False)
    except (KombuError, OSError) as error:
        logger.warning("the broker takes no message: %s", error)
