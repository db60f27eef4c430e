"""The live views of a worker process: one thread writes the state of watched rollouts once a second.

A rollout without a viewer costs one entry in a query per second.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from django.db import Error, connection
from django.db.models.functions import Now

from ..engine.live import LiveBoard
from ..models import LiveView, Rollout
from ..models.texts import storable

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.8
"""Seconds between two writes. A page asks once a second, so text appears within two."""
_FORGET_SECONDS = 60.0


class LiveViews:
    """The boards of the rollouts that this process runs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._boards: dict[int, tuple[int, LiveBoard]] = {}
        self._written: set[int] = set()

    @contextmanager
    def shown(self, rollout: Rollout) -> Iterator[LiveBoard]:
        """Provides a board for a rollout while it runs."""
        board = LiveBoard()
        with self._lock:
            self._boards[rollout.pk] = rollout.attempt, board
        try:
            yield board
        finally:
            with self._lock:
                del self._boards[rollout.pk]

    def keep(self, done: threading.Event) -> None:
        """Writes until `done` is set. A database outage affects only the views."""
        forget_at = 0.0
        while not done.wait(TICK_SECONDS):
            try:
                self.write()
                if time.monotonic() > forget_at:
                    LiveView.objects.forgotten().delete()
                    forget_at = time.monotonic() + _FORGET_SECONDS
            except Error as error:
                logger.debug("live views were not written: %s", error)
            finally:
                connection.close()
        with suppress(Error):
            LiveView.objects.filter(pk__in=self._written).delete()
        connection.close()

    def write(self) -> int:
        """Writes the states of the watched rollouts, and removes those of ended ones. Returns how many it
        wrote.
        """
        with self._lock:
            boards = dict(self._boards)
        if ended := self._written - boards.keys():
            LiveView.objects.filter(pk__in=ended).delete()
            self._written -= ended
        if not boards:
            return 0
        watched = list(LiveView.objects.watched().filter(pk__in=list(boards)).values_list("pk", flat=True))
        for pk in watched:
            attempt, board = boards[pk]
            state = storable(board.state())
            LiveView.objects.filter(pk=pk).update(attempt=attempt, state=state, written_at=Now())
            self._written.add(pk)
        return len(watched)


LIVE_VIEWS = LiveViews()
"""The live views of this process."""
