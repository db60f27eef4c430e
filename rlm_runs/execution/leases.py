"""Whose rollout it is: claiming, keeping, giving back and cancelling. The row is the truth.

A rollout is claimed by a conditional UPDATE, not by a lock, and held by a lease that its worker renews. A
message that comes twice finds the row claimed; one that is lost is sent again by the sweep.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Sequence
from datetime import timedelta

from celery import current_app
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.models import DurationField, ExpressionWrapper, F, QuerySet, Value
from django.db.models.functions import Least, Now, Power
from django.utils import timezone
from kombu.exceptions import OperationalError

from ..engine.cancellation import Control
from ..models import Experiment, Rollout
from .rollups import roll_up

logger = logging.getLogger(__name__)

RUN_ROLLOUT = "rlm_runs.tasks.run_rollout"
"""The task by its name: its module imports this one."""

_TICK_SECONDS = 3.0
"""How often, at least, a running rollout looks whether it was cancelled."""
_MOST_ATTEMPTS = 10
_FIRST_REQUEUE = timedelta(seconds=60)
_MOST_DOUBLINGS = 6
_MOST_SENT_AGAIN = 10_000
"""By one sweep; the next goes on."""

_held: set[Control] = set()
"""The controls of the rollouts that this process is running."""
_held_lock = threading.Lock()


def worker_name() -> str:
    """This process, as a row tells who has it."""
    return f"{socket.gethostname()}:{os.getpid()}"


def claim(rollout_id: int) -> Rollout | None:
    """The rollout, now running under a lease of this worker; None where it is not there to be had."""
    now = timezone.now()
    claimed = Rollout.objects.filter(pk=rollout_id, status=Rollout.Status.QUEUED).update(
        status=Rollout.Status.RUNNING,
        attempt=F("attempt") + 1,
        worker=worker_name(),
        lease_expires_at=now + timedelta(seconds=settings.RLM_LEASE_SECONDS),
        requeue_at=None,
        enqueued=0,
    )
    if claimed != 1:
        return None
    return Rollout.objects.select_related("arm__experiment", "example").get(pk=rollout_id)


class Lease:
    """Keeps a claimed rollout while its body runs, and stops it when it is cancelled or not ours any more.

    with Lease(rollout) as control: …
    """

    def __init__(self, rollout: Rollout) -> None:
        self._rollout = rollout
        self.control = Control()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"lease-{rollout.pk}", daemon=True)

    def __enter__(self) -> Control:
        with _held_lock:
            _held.add(self.control)
        self._thread.start()
        return self.control

    def __exit__(self, *exc: object) -> None:
        self._done.set()
        self._thread.join()
        with _held_lock:
            _held.discard(self.control)

    def _keep(self) -> None:
        seconds: float = settings.RLM_LEASE_SECONDS
        renewed = time.monotonic()
        while not self._done.wait(min(seconds / 3, _TICK_SECONDS)):
            try:
                self._renew(seconds)
                renewed = time.monotonic()
            except DatabaseError:
                logger.exception("the lease of rollout %s could not be renewed", self._rollout.pk)
                if time.monotonic() - renewed > seconds:
                    self.control.stop("interrupted")
            finally:
                connection.close()

    def _renew(self, seconds: float) -> None:
        until = timezone.now() + timedelta(seconds=seconds)
        mine = _running_attempt(self._rollout)
        if mine.update(lease_expires_at=until) != 1:
            self.control.stop("interrupted")
        elif mine.exclude(experiment__cancelled_at=None).exists():
            self.control.stop("cancelled")


shutting_down = threading.Event()
"""Set when this process takes no more rollouts."""


def interrupt_all() -> None:
    """Stops every rollout of this process, to be done again: the worker shuts down."""
    shutting_down.set()
    with _held_lock:
        controls = list(_held)
    for control in controls:
        control.stop("interrupted")


def give_back(rollout: Rollout) -> None:
    """Ends an attempt that was cut off: the rollout is queued again, unless nobody wants it any more."""
    if rollout.arm.experiment.cancelled_at is not None:
        _end_cut_off(rollout, status=Rollout.Status.CANCELLED, stop_reason="cancelled", error="")
    elif rollout.attempt >= _MOST_ATTEMPTS:
        error = f"{rollout.attempt} attempts were cut off, each by the end of its worker; it is not tried again"
        _end_cut_off(rollout, status=Rollout.Status.FAILED, stop_reason="worker_lost", error=error)
    elif _running_attempt(rollout).update(
        status=Rollout.Status.QUEUED, worker="", lease_expires_at=None, requeue_at=timezone.now()
    ):
        enqueue([rollout.pk])


def _end_cut_off(rollout: Rollout, *, status: Rollout.Status, stop_reason: str, error: str) -> None:
    with transaction.atomic():
        _running_attempt(rollout).update(
            status=status,
            stop_reason=stop_reason,
            error=error,
            error_boundary="control" if status == Rollout.Status.CANCELLED else "worker",
            finished_at=timezone.now(),
            lease_expires_at=None,
            **roll_up(rollout, attempt=rollout.attempt),
        )


def _running_attempt(rollout: Rollout) -> QuerySet[Rollout]:
    return Rollout.objects.filter(pk=rollout.pk, status=Rollout.Status.RUNNING, attempt=rollout.attempt)


def enqueue(rollout_ids: Sequence[int]) -> None:
    """Sends a message for each of them that is queued. What cannot be sent is left to the sweep."""
    queued = Rollout.objects.filter(pk__in=rollout_ids, status=Rollout.Status.QUEUED)
    # Doubled each time: a long queue is not flooded with copies of messages that merely wait in it.
    wait = ExpressionWrapper(
        Value(_FIRST_REQUEUE) * Power(2.0, Least(F("enqueued"), _MOST_DOUBLINGS)), output_field=DurationField()
    )
    queued.update(requeue_at=Now() + wait, enqueued=F("enqueued") + 1)
    try:
        for rollout_id in queued.order_by("id").values_list("pk", flat=True).iterator():
            current_app.send_task(RUN_ROLLOUT, [rollout_id])
    except OperationalError:
        logger.warning("the broker does not answer; the sweep will send again what could not be sent")


def sweep() -> None:
    """Gives back what a dead worker left running, and sends lost messages again."""
    now = timezone.now()
    expired = Rollout.objects.filter(status=Rollout.Status.RUNNING, lease_expires_at__lt=now)
    for rollout in expired.select_related("arm__experiment"):
        give_back(rollout)
    lost = Rollout.objects.filter(status=Rollout.Status.QUEUED, requeue_at__lt=now)
    enqueue(list(lost.values_list("id", flat=True)[:_MOST_SENT_AGAIN]))


def cancel_experiment(experiment: Experiment) -> None:
    """Cancels what has not ended: queued rollouts at once, running ones when their workers next look."""
    now = timezone.now()
    with transaction.atomic():
        Experiment.objects.filter(pk=experiment.pk, cancelled_at=None).update(cancelled_at=now)
        experiment.rollouts().filter(status=Rollout.Status.QUEUED).update(
            status=Rollout.Status.CANCELLED, stop_reason="cancelled", finished_at=now, requeue_at=None
        )
