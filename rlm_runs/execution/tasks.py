"""The Celery tasks, and what a worker process does when it starts and stops. A few lines each; they delegate.

The names of the tasks are fixed: messages that are under way keep their meaning when modules move.
"""

from __future__ import annotations

from celery import current_app, shared_task
from celery.exceptions import Reject
from celery.signals import worker_ready, worker_shutdown, worker_shutting_down

from . import leases, sandboxes, worker

SWEEP = "rlm_runs.tasks.sweep"


@shared_task(name=leases.RUN_ROLLOUT)
def run_rollout(rollout_id: int) -> None:
    """Runs one rollout, if it is there to be had."""
    if leases.shutting_down.is_set():
        raise Reject("the worker shuts down", requeue=True)
    worker.run_claimed(rollout_id)


@shared_task(name=SWEEP)
def sweep() -> None:
    """Picks up what dead workers and lost messages left behind."""
    leases.sweep()


@worker_ready.connect
def _sweep_at_start(**_: object) -> None:
    """Picks up what a dead worker left behind, without waiting for the first scheduled sweep."""
    current_app.send_task(SWEEP)


@worker_shutting_down.connect
def _give_rollouts_back(**_: object) -> None:
    leases.interrupt_all()


@worker_shutdown.connect
def _close_sandboxes(**_: object) -> None:
    sandboxes.close()
