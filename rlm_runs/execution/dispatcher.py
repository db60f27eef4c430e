"""The dispatcher of a worker process: it claims rollouts for its free slots and runs each in a thread.

Each process has one dispatcher. Besides its slots it has six threads: one claims, one renews the leases, one
sweeps, one removes deleted experiments, one probes models, one writes live views. It works while the broker is
down, and waits while the database is.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial

from django.conf import settings
from django.db import Error, connection

from ..models import Rescoring, Rollout
from ..observability import worker_metrics
from ..observability.metrics_exporter import start_exporter
from . import capacity, deletion, probe_queue, queue, rescoring, sandboxes, sweep, worker, worker_registry
from .code_version import code_version
from .leases import LeaseKeeper
from .live_views import LIVE_VIEWS

logger = logging.getLogger(__name__)

IDLE_SECONDS = 1.0
"""Seconds between two looks at the queue while slots are free and no message arrives."""
_MOST_AT_ONCE = 16
"""Rollouts per claim. The limit spreads a large launch over several workers."""
_STOP_SECONDS = 20.0
"""Seconds that rollouts get to end after an interrupt."""


@dataclass(frozen=True)
class _Work:
    """The work of a slot: a claimed rollout, or the rescoring of an ended one. `run` never raises."""

    name: str
    run: Callable[[], None]
    rollout: int | None = None
    """The id of the claimed rollout."""


class Dispatcher:
    """The dispatcher of a process. It runs up to `slots` rollouts at a time, and rescores ended ones."""

    def __init__(self, *, slots: int) -> None:
        self._slots = slots
        self._leases = LeaseKeeper()
        self._rescoring_leases = rescoring.RescoringLeases()
        self._wake = threading.Event()
        self._draining = threading.Event()
        self._done = threading.Event()
        self._lock = threading.Lock()
        self._threads: dict[threading.Thread, _Work] = {}
        self._may_have_lost_claims = False
        self._services = [
            threading.Thread(target=self._claim_until_drained, name="claims", daemon=True),
            threading.Thread(
                target=self._leases.keep,
                args=[self._done, self._rescoring_leases.renew],
                name="leases",
                daemon=True,
            ),
            threading.Thread(target=self._sweep, name="sweep", daemon=True),
            threading.Thread(target=LIVE_VIEWS.keep, args=[self._done], name="live-views", daemon=True),
            threading.Thread(target=deletion.remove_until, args=[self._draining], name="deletions", daemon=True),
            threading.Thread(target=probe_queue.run_until, args=[self._draining], name="probes", daemon=True),
        ]

    def start(self) -> None:
        """Starts claiming."""
        for thread in self._services:
            thread.start()

    def wake(self) -> None:
        """Makes the dispatcher look at the queue now. Any thread may call it."""
        self._wake.set()

    def interrupt(self) -> None:
        """Stops claiming and interrupts running rollouts. Returns immediately; a signal handler may call it."""
        self._draining.set()
        self._wake.set()

    def stop(self) -> None:
        """Interrupts running rollouts, waits for them, and ends the threads."""
        self.interrupt()
        until = time.monotonic() + _STOP_SECONDS
        for thread in self._running():
            thread.join(max(0.0, until - time.monotonic()))
        self._done.set()
        for thread in self._services:
            thread.join(5)

    def sizes(self) -> dict[str, int]:
        """Returns the number of running rollouts and of slots."""
        return {"running": len(self._running()), "slots": self._slots}

    def _running(self) -> list[threading.Thread]:
        with self._lock:
            return list(self._threads)

    def _ids(self) -> list[int]:
        with self._lock:
            return [work.rollout for work in self._threads.values() if work.rollout is not None]

    def _claim_until_drained(self) -> None:
        while not self._draining.is_set():
            self._wake.clear()
            claimed = self._claim()
            for work in claimed:
                self._begin(work)
            if not claimed:
                self._wake.wait(IDLE_SECONDS)
        self._leases.interrupt_all()
        self._rescoring_leases.interrupt_all()

    def _claim(self) -> list[_Work]:
        """Claims work for the free slots. Rescoring comes first, because it is short, but gets at most half of
        them.
        """
        running = len(self._running())
        free = min(self._slots - running, capacity.room(running=running), _MOST_AT_ONCE)
        if free <= 0:
            return []
        try:
            if self._may_have_lost_claims:
                queue.release(self._ids())
                self._may_have_lost_claims = False
            claimed = [self._scoring(each) for each in rescoring.claim((free + 1) // 2)]
            if free > len(claimed):
                claimed += [self._running_of(each) for each in queue.claim(free - len(claimed))]
            return claimed
        except Error as error:
            # The claim may be committed although its answer was lost.
            self._may_have_lost_claims = True
            logger.warning("the queue cannot be read: %s", error)
            return []
        finally:
            connection.close()

    def _running_of(self, rollout: Rollout) -> _Work:
        run = partial(worker.run_claimed, rollout, self._leases)
        return _Work(f"rollout-{rollout.pk}", run, rollout=rollout.pk)

    def _scoring(self, claimed: Rescoring) -> _Work:
        run = partial(rescoring.run_claimed, claimed, self._rescoring_leases)
        return _Work(f"rescoring-{claimed.pk}", run)

    def _begin(self, work: _Work) -> None:
        thread = threading.Thread(
            target=copy_context().run, args=[self._run_one, work], name=work.name, daemon=True
        )
        with self._lock:
            self._threads[thread] = work
        thread.start()

    def _run_one(self, work: _Work) -> None:
        try:
            work.run()
        finally:
            connection.close()
            with self._lock:
                del self._threads[threading.current_thread()]
            self._wake.set()

    def _sweep(self) -> None:
        """Sweeps, and reports this process as alive, at this process's own intervals."""
        sweeper = sweep.Sweeper()
        registered = False
        while not self._done.wait(settings.RLM_SWEEP_SECONDS if registered else 0.1):
            try:
                registered = (registered and self._heartbeat()) or self._register()
                if sweeper.sweep():
                    self.wake()
            except Error as error:
                logger.warning("the sweep waits for the database: %s", error)
            finally:
                connection.close()
        with suppress(Error):
            worker_registry.unregister()
        connection.close()

    def _register(self) -> bool:
        worker_registry.register(capacity=capacity.limits(slots=self._slots), code_version=code_version())
        return True

    def _heartbeat(self) -> bool:
        return worker_registry.heartbeat(running=len(self._running()), sandbox_backend=sandboxes.name_in_use())


_dispatcher: Dispatcher | None = None


def start(*, slots: int) -> None:
    """Starts the dispatcher of this process."""
    global _dispatcher
    for line in capacity.limit_lines(slots=slots):
        logger.info(line)
    _dispatcher = Dispatcher(slots=slots)
    _dispatcher.start()
    worker_metrics.watch(rollouts=_dispatcher.sizes, sandboxes=sandboxes.sizes)
    start_exporter()


def wake() -> None:
    """Makes this process's dispatcher, if there is one, look at the queue."""
    if _dispatcher is not None:
        _dispatcher.wake()


def interrupt() -> None:
    """Makes this process's dispatcher stop claiming and interrupt its rollouts."""
    if _dispatcher is not None:
        _dispatcher.interrupt()


def stop() -> None:
    """Stops this process's dispatcher."""
    if _dispatcher is not None:
        _dispatcher.stop()
