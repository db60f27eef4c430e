"""The Celery task, and the start and stop of a worker process.

The task has no content: receiving its message wakes the dispatcher of the worker process, whatever its pool is.
Its name is fixed, because messages in flight outlive a deployment. Two names of earlier versions stay registered,
so that their messages are not errors.
"""

from __future__ import annotations

from typing import Any

from celery import shared_task
from celery.signals import celeryd_after_setup, task_received, worker_shutdown, worker_shutting_down

from . import dispatcher, queue, sandboxes
from .limits.gates import WATCHER
from .limits.keeper import KEEPER
from .spending.purse import PURSE


@shared_task(name=queue.WORK)
def work() -> None:
    """Wakes the worker that receives it."""


@shared_task(name="rlm_runs.tasks.run_rollout")
def run_rollout(_: int) -> None:
    """Wakes the worker that receives it. Earlier versions sent one such message per rollout."""


@shared_task(name="rlm_runs.tasks.sweep")
def sweep() -> None:
    """Wakes the worker that receives it. Earlier versions had a scheduler that sent it."""


@task_received.connect
def _wake(**_: object) -> None:
    dispatcher.wake()


@celeryd_after_setup.connect
def _start(instance: Any, **_: object) -> None:
    """Starts claiming rollouts, whether the broker answers or not."""
    dispatcher.start(slots=int(instance.concurrency))


@worker_shutting_down.connect
def _interrupt(**_: object) -> None:
    dispatcher.interrupt()


@worker_shutdown.connect
def _stop(**_: object) -> None:
    dispatcher.stop()
    sandboxes.close()
    WATCHER.close()
    KEEPER.close()
    PURSE.close()
