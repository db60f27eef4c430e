"""The Celery tasks: a few lines each, they delegate."""

from __future__ import annotations

from celery import shared_task
from celery.exceptions import Reject

from . import leases, worker


@shared_task
def run_rollout(rollout_id: int) -> None:
    """Runs one rollout, if it is there to be had."""
    if leases.shutting_down.is_set():
        raise Reject("the worker shuts down", requeue=True)
    worker.run_claimed(rollout_id)


@shared_task
def sweep() -> None:
    """Picks up what dead workers and lost messages left behind."""
    leases.sweep()
