"""Control of experiments: cancelling, pausing, resuming, ranking. Pages, the API and the command use it.

Each function changes rows only. Workers see the change when they next look, within a second.
"""

from __future__ import annotations

from django.db import transaction
from django.db.models.functions import Now

from ..models import Experiment, Rollout
from . import queue

PRIORITIES = range(-100, 101)


def cancel(experiment: Experiment) -> None:
    """Cancels an experiment: queued rollouts end now, running ones within a second. Recorded work stays."""
    with transaction.atomic():
        Experiment.objects.filter(pk=experiment.pk, cancelled_at=None).update(cancelled_at=Now())
        experiment.rollouts().filter(status=Rollout.Status.QUEUED).update(
            status=Rollout.Status.CANCELLED, stop_reason="cancelled", finished_at=Now()
        )


def pause(experiment: Experiment) -> None:
    """Pauses an experiment: no worker takes its queued rollouts, and running ones finish."""
    Experiment.objects.filter(pk=experiment.pk, paused_at=None).update(paused_at=Now())


def resume(experiment: Experiment) -> None:
    """Ends a pause."""
    Experiment.objects.filter(pk=experiment.pk).update(paused_at=None)
    queue.notify_workers()


def set_priority(experiment: Experiment, priority: int) -> None:
    """Ranks an experiment: workers take rollouts of the highest priority first. Raises ValueError out of range."""
    if priority not in PRIORITIES:
        raise ValueError(f"priority must be from {PRIORITIES.start} to {PRIORITIES.stop - 1}, not {priority}")
    Experiment.objects.filter(pk=experiment.pk).update(priority=priority)
