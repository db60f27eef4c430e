"""Ends and removes sandboxes in a separate thread, so that rollouts do not wait for it."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

logger = logging.getLogger(__name__)


class Disposal:
    """A queue of small jobs, run one after the other. Its thread lives while there are jobs."""

    def __init__(self, *, name: str) -> None:
        self._name = name
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._pending = 0
        self._changed = threading.Condition()

    def soon(self, job: Callable[[], None]) -> None:
        with self._changed:
            self._pending += 1
            self._jobs.put(job)
            if self._pending == 1:
                threading.Thread(target=self._work, name=self._name, daemon=True).start()

    def finish(self) -> None:
        """Waits until all queued jobs are done."""
        with self._changed:
            self._changed.wait_for(lambda: self._pending == 0)

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            try:
                job()
            except Exception:  # the next removal must run, whatever this one raised
                logger.exception("%s: a job failed", self._name)
            with self._changed:
                self._pending -= 1
                if self._pending == 0:
                    self._changed.notify_all()
                    return
