"""Rescoring: stored answers get a new score from the environment, or from another judge.

Each rollout to rescore is a row of a separate queue, which workers claim like rollouts. A rescoring changes only
the outcome of the rollout and the roll-ups that depend on it; the row keeps the previous outcome. A failed
rescoring leaves the outcome as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import fields
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Sum
from django.db.models.functions import Now

from ..engine.cancellation import CancellationToken
from ..engine.environments.base import Score
from ..engine.environments.registry import REGISTRY
from ..engine.errors import Stopped
from ..engine.events import ReportedSums, RolloutEnded
from ..engine.rollout_context import Model, now
from ..engine.scoring import score_again
from ..models import Experiment, Rescoring, Rollout, Text, Trajectory, Turn
from ..models.experiments import RolloutQuerySet
from ..models.texts import escape, storable
from ..observability.logs import bound_to
from . import lost_workers, queue, worker
from .endpoints import find_model
from .experiment_log import COMMAND_LINE, WORKER, record_action
from .leases import Leases
from .patience import patiently
from .prices import prices
from .recorder import Recorder
from .rollups import roll_up
from .selection import HAS_SCORABLE_ANSWER, Refused, Selection
from .worker_registry import process_name

logger = logging.getLogger(__name__)

Status = Rescoring.Status
UNFINISHED = (Status.QUEUED, Status.RUNNING)
_MOST_TRIES = 5
_OUTCOME = ("status", "stop_reason", "reward", "metrics", "error", "error_boundary")

_CLAIM = """
UPDATE rlm_runs_rescoring r
   SET status = 'running', tries = r.tries + 1, worker = %(worker)s,
       lease_expires_at = now() + make_interval(secs => %(lease)s)
  FROM (SELECT q.id FROM rlm_runs_rescoring q JOIN rlm_runs_experiment e ON e.id = q.experiment_id
         WHERE q.status = 'queued' AND e.paused_at IS NULL AND e.deleted_at IS NULL
         ORDER BY e.priority DESC, q.id
         LIMIT %(limit)s
           FOR UPDATE OF q SKIP LOCKED) best
 WHERE r.id = best.id
RETURNING r.id
"""
_RENEW = """
UPDATE rlm_runs_rescoring SET lease_expires_at = now() + make_interval(secs => %s)
 WHERE id = ANY(%s) AND status = 'running' AND worker = %s
RETURNING id
"""


def scorable(experiment: Experiment, selection: Selection) -> RolloutQuerySet:
    """Returns the selected rollouts that have an answer to score, scored or not. Raises Refused."""
    return selection.of(experiment).filter(HAS_SCORABLE_ANSWER)


def rescore(
    experiment: Experiment, selection: Selection, *, judge_model: str = "", actor: str = COMMAND_LINE
) -> int:
    """Queues rollouts to be rescored. Returns how many. Raises Refused if there are none.

    A rollout that waits already is not queued twice. `judge_model` replaces the arms' judge.
    """
    check_judge(judge_model)
    with transaction.atomic():
        Experiment.objects.select_for_update(no_key=True).get(pk=experiment.pk)
        waiting = Rescoring.objects.filter(experiment=experiment, status__in=UNFINISHED).values("rollout")
        wanted = scorable(experiment, selection).exclude(pk__in=waiting)
        found = list(wanted.order_by("pk").values_list("pk", "attempt"))
        if not found:
            raise Refused(f"no rollout of {experiment.slug} has an answer to score there, or all wait already")
        details = {"rollouts": len(found), "judge": judge_model or "the arm's", **selection.described()}
        action = record_action(experiment, action="rescoring asked for", actor=actor, details=details)
        Rescoring.objects.bulk_create(
            (
                Rescoring(
                    experiment=experiment, rollout_id=pk, action=action, attempt=attempt, judge_model=judge_model
                )
                for pk, attempt in found
            ),
            batch_size=2000,
        )
        transaction.on_commit(queue.notify_workers)
    return len(found)


def check_judge(name: str) -> None:
    """Raises Refused for a judge that cannot be reached."""
    if not name:
        return
    found = find_model(name)
    if found is None:
        raise Refused(f"there is no model {name!r} in the endpoints file")
    if found.endpoint.missing:
        raise Refused(f"{name} cannot be reached: {found.endpoint.missing}")


def claim(limit: int) -> list[Rescoring]:
    """Claims up to `limit` rescorings for this process, by highest priority, then the oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, {"worker": process_name(), "lease": settings.RLM_LEASE_SECONDS, "limit": limit})
        ids = [row[0] for row in cursor.fetchall()]
    found = Rescoring.objects.select_related("rollout__arm__experiment", "rollout__example").filter(pk__in=ids)
    return list(found.order_by("pk"))


def reap() -> int:
    """Requeues the rescorings of dead workers, up to five times each. Returns how many."""
    lost = Rescoring.objects.filter(status=Status.RUNNING)
    workers = set(lost.values_list("worker", flat=True))
    found = list(lost.filter(lost_workers.is_lost(workers)).select_related("rollout"))
    for rescoring in found:
        if rescoring.tries >= _MOST_TRIES:
            _end(rescoring, error=f"{rescoring.tries} workers died while they scored it")
        else:
            _give_back(rescoring)
    return len(found)


def run_claimed(rescoring: Rescoring, leases: RescoringLeases) -> None:
    """Rescores one rollout and stores the outcome, or gives it back if interrupted. Never raises."""
    with bound_to(rescoring.rollout), leases.held(rescoring) as control:
        try:
            _run(rescoring, control)
        except Exception:
            # The lease expires and a sweep requeues it.
            logger.exception("rescoring %s was left to the sweep", rescoring.pk)


def _run(rescoring: Rescoring, control: CancellationToken) -> None:
    if _is_outdated(rescoring, rescoring.rollout):
        patiently(lambda: _end(rescoring, error=_RETRIED))
        return
    try:
        score = _score(rescoring, control)
    except Stopped:
        patiently(lambda: _give_back(rescoring))
    except Exception as failure:
        logger.exception("rollout %s cannot be scored again", rescoring.rollout_id)
        error = f"{type(failure).__name__}: {failure}"
        patiently(lambda: _end(rescoring, error=error))
    else:
        patiently(lambda: _end(rescoring, score=score))


_RETRIED = "the rollout was retried meanwhile"


def _is_outdated(rescoring: Rescoring, rollout: Rollout) -> bool:
    return rollout.status not in Rollout.FINISHED or rollout.attempt != rescoring.attempt


def _score(rescoring: Rescoring, control: CancellationToken) -> Score:
    rollout = rescoring.rollout
    arm = rollout.arm
    recorder = Recorder(rollout, rescoring=rescoring.pk)
    environment_type = REGISTRY[arm.environment]
    environment = environment_type(environment_type.settings_type(**arm.environment_settings))
    example = patiently(lambda: worker.example_of(rollout))
    answer = patiently(lambda: Text.objects.get(pk=rollout.answer_id).text)
    listed = prices()
    name = rescoring.judge_model or arm.judge_model or arm.model
    asks = environment.judge_prompt(example, answer) is not None
    client = worker.client_of(worker.model_named(name)) if asks else _NoJudge()
    return score_again(
        environment,
        example,
        answer,
        judge=Model(name, client),
        record=lambda events: worker.COMMITS.record(recorder, events),
        control=control,
        price=listed.cost,
    )


class RescoringLeases(Leases[Rescoring]):
    """The leases of the rollouts that this process rescores."""

    lost_reason = "cancelled"

    def extend(self, rows: Collection[Rescoring]) -> set[int]:
        """Extends the leases of rescorings that run here."""
        with connection.cursor() as cursor:
            cursor.execute(_RENEW, [settings.RLM_LEASE_SECONDS, [row.pk for row in rows], process_name()])
            return {row[0] for row in cursor.fetchall()}


class _NoJudge:
    """A substitute for a judge's client if the environment scores by itself."""

    def complete(self, **_: Any) -> Any:
        """Raises LookupError, because there is no judge."""
        raise LookupError("this environment has no judge")


@transaction.atomic
def _give_back(rescoring: Rescoring) -> None:
    """Requeues an interrupted rescoring. A cancelled one stays cancelled; its calls are paid for."""
    _claimed_row(rescoring).update(status=Status.QUEUED, worker="", lease_expires_at=None)
    _update_judge_cost(rescoring)


def _claimed_row(rescoring: Rescoring) -> Any:
    return Rescoring.objects.filter(
        pk=rescoring.pk, status=Status.RUNNING, worker=rescoring.worker, tries=rescoring.tries
    )


@transaction.atomic
def _end(rescoring: Rescoring, *, score: Score | None = None, error: str = "") -> None:
    """Stores the outcome. Locks the experiment first, like every change of ended rollouts."""
    Experiment.everything.filter(pk=rescoring.experiment_id).update(revision=F("revision") + 1)
    before = (
        Rollout.objects.select_related("arm")
        .select_for_update(no_key=True, of=("self",))
        .get(pk=rescoring.rollout_id)
    )
    columns: dict[str, Any] = {"lease_expires_at": None, "finished_at": Now(), "cost": _cost(rescoring)}
    columns["before"] = {name: getattr(before, name) for name in _OUTCOME}
    if score is not None and _is_outdated(rescoring, before):
        score, error = None, _RETRIED
    if score is None:
        columns |= {"status": Status.FAILED, "error": escape(error)[:4000]}
    else:
        after = _outcome(before, score)
        columns |= {"status": Status.DONE, "after": after}
    if _claimed_row(rescoring).update(**columns) != 1:
        _update_judge_cost(rescoring)
        return  # cancelled, taken over, or stored already
    if score is not None:
        Rollout.objects.filter(pk=before.pk).update(**after, **_sums(before, after))
    _update_judge_cost(rescoring)
    _record_end(rescoring)


def _outcome(rollout: Rollout, score: Score) -> dict[str, Any]:
    """Returns the outcome with a reward. An unjudged rollout gets the stop reason of its root back."""
    stop_reason = rollout.stop_reason
    if rollout.status == Rollout.Status.FAILED:
        root = rollout.attempt_trajectories().filter(kind=Trajectory.Kind.ROOT).only("stop_reason").first()
        stop_reason = root.stop_reason if root is not None and root.stop_reason else "scored"
    return {
        "status": Rollout.Status.COMPLETED,
        "stop_reason": stop_reason,
        "reward": score.reward,
        "metrics": storable(dict(score.metrics)),
        "error": "",
        "error_boundary": "",
    }


def _sums(rollout: Rollout, after: dict[str, Any]) -> dict[str, Any]:
    """Returns the roll-ups that depend on the outcome."""
    answer = Text.objects.get(pk=rollout.answer_id).text
    reported = None
    if rollout.reported:
        reported = ReportedSums(**{field.name: getattr(rollout, field.name) for field in fields(ReportedSums)})
    ended = RolloutEnded(
        at=now(), stop_reason=after["stop_reason"], answer=answer, reward=after["reward"], reported=reported
    )
    sums = roll_up(rollout, attempt=rollout.attempt, ended=ended)
    return {"failure_modes": sums["failure_modes"]}


def _update_judge_cost(rescoring: Rescoring) -> None:
    """Updates the rollout's `judge_cost` with the judge's calls. It stays unknown for an imported rollout."""
    asked = Turn.objects.filter(trajectory__rollout=rescoring.rollout_id, trajectory__kind=Trajectory.Kind.JUDGE)
    ended = Rollout.objects.filter(pk=rescoring.rollout_id, status__in=Rollout.FINISHED, reported=False)
    ended.update(judge_cost=_sum_of_turns(asked))


def _cost(rescoring: Rescoring) -> Decimal | None:
    return _sum_of_turns(Turn.objects.filter(trajectory__rescoring=rescoring))


def _sum_of_turns(turns: Any) -> Decimal | None:
    """Returns the sum; None if a call has no known price, 0 without calls."""
    if turns.filter(cost=None).exists():
        return None
    found: Decimal = turns.aggregate(sum=Sum("cost", default=Decimal(0)))["sum"]
    return found


def _record_end(rescoring: Rescoring) -> None:
    """Records in the log when the last rollout of a request is scored. The experiment's lock makes this exact."""
    of_request = Rescoring.objects.filter(action=rescoring.action_id)
    if of_request.filter(status__in=UNFINISHED).exists():
        return
    ended = of_request.order_by()
    done = list(ended.filter(status=Status.DONE).values_list("before__reward", "after__reward"))
    cost = None if ended.filter(cost=None).exists() else ended.aggregate(sum=Sum("cost"))["sum"]
    details = {
        "rollouts": len(done),
        "rewards changed": sum(before != after for before, after in done),
        "failed": ended.filter(status=Status.FAILED).count(),
        "cost": None if cost is None else f"{cost:f}",
    }
    record_action(rescoring.experiment_id, action="rescored", actor=WORKER, details=details)
