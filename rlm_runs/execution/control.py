"""Control of experiments: cancelling, pausing, resuming, ranking. Pages, the API and the command use it.

Each function changes rows only. Workers see the change when they next look, within a second.
"""

from __future__ import annotations

from django.db import transaction
from django.db.models.functions import Now

from ..models import Experiment, Rollout
from . import queue
from .experiment_log import COMMAND_LINE, record_action
from .rollups import roll_up

PRIORITIES = range(-100, 101)


def cancel(experiment: Experiment, *, actor: str = COMMAND_LINE) -> None:
    """Cancels an experiment: queued rollouts end now, running ones within a second. Recorded work stays."""
    with transaction.atomic():
        if not Experiment.objects.filter(pk=experiment.pk, cancelled_at=None).update(cancelled_at=Now()):
            return
        queued = experiment.rollouts().filter(status=Rollout.Status.QUEUED)
        begun = list(queued.filter(cut_off=True).select_related("arm"))
        ended = queued.update(
            status=Rollout.Status.CANCELLED, stop_reason="cancelled", finished_at=Now(), cut_off=False
        )
        for rollout in begun:  # their attempts will not go on, but their turns stay
            Rollout.objects.filter(pk=rollout.pk).update(**roll_up(rollout, attempt=rollout.attempt))
        running = experiment.rollouts().filter(status=Rollout.Status.RUNNING).count()
        record_action(
            experiment, action="cancelled", actor=actor, details={"queued rollouts": ended, "running": running}
        )


def pause(experiment: Experiment, *, actor: str = COMMAND_LINE) -> None:
    """Pauses an experiment: no worker takes its queued rollouts, and running ones finish."""
    with transaction.atomic():
        if Experiment.objects.filter(pk=experiment.pk, paused_at=None).update(paused_at=Now()):
            record_action(experiment, action="paused", actor=actor)


def resume(experiment: Experiment, *, actor: str = COMMAND_LINE) -> None:
    """Ends a pause."""
    with transaction.atomic():
        if Experiment.objects.filter(pk=experiment.pk, paused_at__isnull=False).update(paused_at=None):
            record_action(experiment, action="resumed", actor=actor)
    queue.notify_workers()


def set_priority(experiment: Experiment, priority: int, *, actor: str = COMMAND_LINE) -> None:
    """Ranks an experiment: workers take rollouts of the highest priority first. Raises ValueError out of range."""
    if priority not in PRIORITIES:
        raise ValueError(f"priority must be from {PRIORITIES.start} to {PRIORITIES.stop - 1}, not {priority}")
    with transaction.atomic():
        if Experiment.objects.filter(pk=experiment.pk).exclude(priority=priority).update(priority=priority):
            record_action(experiment, action="ranked", actor=actor, details={"priority": priority})
