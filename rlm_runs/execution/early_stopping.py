"""Early stopping in the store: the sweep ends arms whose comparison is decided.

A look at an experiment reads its rewards in one query, which is its main cost. It happens when a rollout has ended
since the last look. Over all workers, looks take at most a twentieth of the time, because the store holds the time
of the next one. A decision and the cancellation of the arm's queued rollouts share one transaction, so a repeated
or interrupted look changes nothing twice.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings
from django.db import Error, connection, transaction
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now
from pydantic import ValidationError

from ..analysis.aggregates.frame import load
from ..analysis.aggregates.measures import MEASURES
from ..analysis.early_stopping import EarlyStopping, End, standing
from ..models import Arm, ArmDecision, Experiment, Rollout
from ..models.experiments import RolloutQuerySet
from . import queue
from .experiment_log import COMMAND_LINE, WORKER, record_action

logger = logging.getLogger(__name__)

DECIDED = "decided"
"""Stop reason of rollouts that early stopping cancelled."""
_WAITING = Q(status=Rollout.Status.QUEUED, attempt=0)
"""Rollouts that have not begun. Interrupted rollouts finish, and retries were requested explicitly."""
_SHARE = 20
"""The time between looks is at least this multiple of the time that a look takes."""

# Experiments with queued rollouts, found by hops through the partial index `rollout_queue`, like the queue does. A
# transaction may commit a few seconds after the time that it writes, so a look counts rollouts from somewhat
# before the last look.
_DUE = """
WITH RECURSIVE queued(id) AS (
  (SELECT experiment_id FROM rlm_runs_rollout WHERE status = 'queued' ORDER BY experiment_id LIMIT 1)
  UNION ALL
  SELECT (SELECT experiment_id FROM rlm_runs_rollout
           WHERE status = 'queued' AND experiment_id > queued.id ORDER BY experiment_id LIMIT 1)
    FROM queued WHERE queued.id IS NOT NULL
)
SELECT e.id
  FROM queued JOIN rlm_runs_experiment e USING (id)
  LEFT JOIN rlm_runs_stoppinglook l ON l.experiment_id = e.id
 WHERE e.cancelled_at IS NULL AND e.deleted_at IS NULL AND jsonb_exists(e.spec, 'early_stopping')
   AND (l.experiment_id IS NULL
        OR l.next_at <= now()
           AND EXISTS (SELECT FROM rlm_runs_rollout r
                        WHERE r.experiment_id = e.id AND r.status IN ('completed', 'failed', 'cancelled')
                          AND r.finished_at > l.looked_at - interval '5 seconds'))
"""

_LOOKED = """
INSERT INTO rlm_runs_stoppinglook (experiment_id, looked_at, next_at)
VALUES (%(experiment)s, now(), clock_timestamp() + make_interval(secs => %(pause)s))
ON CONFLICT (experiment_id) DO UPDATE SET looked_at = EXCLUDED.looked_at, next_at = EXCLUDED.next_at
"""


def look_at_all() -> int:
    """Looks at each experiment in which a rollout ended. Returns the number of arms that it ended.

    The caller holds the lock of the sweep.
    """
    with connection.cursor() as cursor:
        cursor.execute(_DUE)
        due = [row[0] for row in cursor.fetchall()]
    ended = 0
    for experiment in due:
        try:
            ended += len(look_at(experiment))
        except Error:
            raise  # the sweep waits for the database
        except Exception:  # an error in one experiment must not end the sweep, which others need
            logger.exception("experiment %s: early stopping failed; its rollouts run on", experiment)
    return ended


def look_at(experiment: int) -> list[ArmDecision]:
    """Ends the decided arms of an experiment, given by its id. Returns the decisions."""
    began = time.monotonic()
    with transaction.atomic():
        # Locks the row first, like `control.cancel`, so that two changes of many rollouts never deadlock.
        found = Experiment.objects.select_for_update(no_key=True).get(pk=experiment)
        decisions = _decide(found)
        pause = max(settings.RLM_SWEEP_SECONDS, _SHARE * (time.monotonic() - began))
        with connection.cursor() as cursor:
            cursor.execute(_LOOKED, {"experiment": experiment, "pause": pause})
    return decisions


def _decide(experiment: Experiment) -> list[ArmDecision]:
    try:
        chosen = EarlyStopping.of(experiment.spec)
    except ValidationError as error:
        logger.warning("experiment %s: its early stopping cannot be read: %s", experiment.pk, error)
        return []
    if chosen is None or experiment.cancelled_at is not None:
        return []
    arms = list(experiment.arms.order_by("position"))
    of_arm = Rollout.objects.filter(_WAITING, arm=OuterRef("pk"))
    queued = set(experiment.arms.filter(Exists(of_arm)).values_list("pk", flat=True))
    before = dict(ArmDecision.objects.filter(arm__experiment=experiment).values_list("arm", "rung"))
    if queued <= before.keys():
        return []
    frame = load([arm.pk for arm in arms], measures=[MEASURES["reward"]])
    ends = [end for end in standing(frame, arms, chosen, ended=before, with_open=False).ends if end.arm in queued]
    return _end(experiment, arms, ends)


def _end(experiment: Experiment, arms: Sequence[Arm], ends: Sequence[End]) -> list[ArmDecision]:
    """Cancels the queued rollouts of each arm and stores the reason. Running rollouts finish."""
    by_pk = {arm.pk: arm for arm in arms}
    decisions = []
    for end in ends:
        queued = Rollout.objects.filter(_WAITING, arm=end.arm)
        rollouts = queued.update(status=Rollout.Status.CANCELLED, stop_reason=DECIDED, finished_at=Now())
        if rollouts:
            decisions.append(ArmDecision.objects.create(arm=by_pk[end.arm], rollouts=rollouts, **_columns(end)))
            record_action(
                experiment,
                action="arm ended",
                actor=WORKER,
                details={"arm": str(by_pk[end.arm]), "reason": end.reason, "rollouts not run": rollouts},
            )
    return decisions


def _columns(end: End) -> Mapping[str, Any]:
    same = ("reason", "estimate", "low", "high", "e_value", "alpha", "level", "needed", "rung")
    return {"baseline_id": end.baseline, "examples": end.n, **{name: getattr(end, name) for name in same}}


def decided(experiment: Experiment) -> RolloutQuerySet:
    """Returns the rollouts that early stopping cancelled."""
    return experiment.rollouts().filter(status=Rollout.Status.CANCELLED, stop_reason=DECIDED)


def run_decided(experiment: Experiment, *, actor: str = COMMAND_LINE) -> int:
    """Requeues the rollouts that early stopping cancelled. Returns how many. Their arms are not ended again.

    A cancelled experiment stays as it is.
    """
    with transaction.atomic():
        found = Experiment.objects.select_for_update(no_key=True).get(pk=experiment.pk)
        if found.cancelled_at is not None:
            return 0
        rollouts = decided(found).update(status=Rollout.Status.QUEUED, stop_reason="", finished_at=None)
        ArmDecision.objects.filter(arm__experiment=found, reopened_at=None).update(reopened_at=Now())
        if rollouts:
            record_action(found, action="reopened", actor=actor, details={"rollouts": rollouts})
    queue.notify_workers()
    return rollouts
