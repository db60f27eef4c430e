"""Control of experiments: cancel, pause, resume, set priority, archive. Used by pages, API and commands.

Each function changes rows only. Workers see the change within a second.
"""

from __future__ import annotations

from django.db import transaction
from django.db.models.functions import Now

from ..models import Experiment, Rescoring, Rollout
from ..models.experiments import RolloutQuerySet
from . import queue
from .experiment_log import COMMAND_LINE, record_action
from .retry import withdraw
from .rollups import roll_up

PRIORITIES = range(-100, 101)
_UNFINISHED = (Rescoring.Status.QUEUED, Rescoring.Status.RUNNING)


def cancel(experiment: Experiment, *, actor: str = COMMAND_LINE) -> None:
    """Cancels an experiment. Queued rollouts end now, running ones within about a second. Recorded work stays.

    A rollout that waits for a retry returns to its previous outcome.
    """
    with transaction.atomic():
        if not Experiment.objects.filter(pk=experiment.pk, cancelled_at=None).update(cancelled_at=Now()):
            return
        details = end_unfinished(experiment)
        record_action(experiment, action="cancelled", actor=actor, details=details)


def end_unfinished(experiment: Experiment) -> dict[str, int]:
    """Ends the queued rollouts, in the transaction that marked the experiment. Returns the details for the log."""
    rollouts = experiment.rollouts()
    ended, withdrawn = end_queued(rollouts.filter(status=Rollout.Status.QUEUED), stop_reason="cancelled")
    rescorings = Rescoring.objects.filter(experiment=experiment, status__in=_UNFINISHED).update(
        status=Rescoring.Status.CANCELLED, finished_at=Now()
    )
    details = {
        "queued rollouts": ended,
        "running": rollouts.filter(status=Rollout.Status.RUNNING).count(),
        "retries withdrawn": withdrawn,
        "rescorings": rescorings,
    }
    return {name: count for name, count in details.items() if count}


def end_queued(queued: RolloutQuerySet, *, stop_reason: str) -> tuple[int, int]:
    """Cancels these queued rollouts of a locked experiment. Returns how many ended, and how many retries were
    withdrawn.

    A withdrawn retry leaves its rollout with its previous outcome. An interrupted rollout keeps its sums so far.
    """
    withdrawn = withdraw(queued)
    ended = {
        "status": Rollout.Status.CANCELLED,
        "stop_reason": stop_reason,
        "finished_at": Now(),
        "cut_off": False,
    }
    cut_off = list(queued.filter(attempt__gt=0).select_related("arm"))
    for rollout in cut_off:
        sums = roll_up(rollout, attempt=rollout.attempt)
        queued.filter(pk=rollout.pk, attempt=rollout.attempt).update(**ended, **sums)
    return len(cut_off) + queued.filter(attempt=0).update(**ended), withdrawn


def pause(experiment: Experiment, *, actor: str = COMMAND_LINE) -> None:
    """Pauses an experiment. Workers take none of its queued rollouts; running ones finish."""
    with transaction.atomic():
        if Experiment.objects.filter(pk=experiment.pk, paused_at=None).update(paused_at=Now()):
            record_action(experiment, action="paused", actor=actor)


def resume(experiment: Experiment, *, actor: str = COMMAND_LINE) -> None:
    """Resumes a paused experiment."""
    with transaction.atomic():
        if Experiment.objects.filter(pk=experiment.pk, paused_at__isnull=False).update(
            paused_at=None, paused_by_budget=False
        ):
            record_action(experiment, action="resumed", actor=actor)
    queue.notify_workers()


def set_priority(experiment: Experiment, priority: int, *, actor: str = COMMAND_LINE) -> None:
    """Sets an experiment's priority. Workers take rollouts of the highest priority first.

    Raises ValueError if the priority is out of range.
    """
    if priority not in PRIORITIES:
        raise ValueError(f"priority must be from {PRIORITIES.start} to {PRIORITIES.stop - 1}, not {priority}")
    with transaction.atomic():
        if Experiment.objects.filter(pk=experiment.pk).exclude(priority=priority).update(priority=priority):
            record_action(experiment, action="ranked", actor=actor, details={"priority": priority})


def archive(experiment: Experiment, *, actor: str = COMMAND_LINE) -> None:
    """Hides an experiment from lists. Its pages keep their addresses, and its rollouts continue."""
    with transaction.atomic():
        if Experiment.objects.filter(pk=experiment.pk, archived_at=None).update(archived_at=Now()):
            record_action(experiment, action="archived", actor=actor)


def unarchive(experiment: Experiment, *, actor: str = COMMAND_LINE) -> None:
    """Restores an archived experiment to lists."""
    with transaction.atomic():
        if Experiment.objects.filter(pk=experiment.pk, archived_at__isnull=False).update(archived_at=None):
            record_action(experiment, action="unarchived", actor=actor)
