"""Cancellation: a flag that stops a running rollout; every wait and every step checks it.

A sub-LLM has its own flag (`child`): it stops with its rollout, or alone when its cell gives up.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .errors import Stopped


class CancellationToken:
    """A stop flag. `stop` may be called from any thread, more than once; the first reason counts."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._reason = ""
        self._closers: list[Callable[[], None]] = []

    @property
    def reason(self) -> str:
        """Why it was stopped: `cancelled`, `interrupted` or `abandoned`; "" while it is not."""
        return self._reason

    def stop(self, reason: str) -> None:
        """Stops the rollout at its next step, and interrupts its waits now."""
        with self._lock:
            if self._stopped.is_set():
                return
            self._reason = reason
            self._stopped.set()
            closers = list(self._closers)
        for close in closers:
            close()

    @contextmanager
    def on_stop(self, close: Callable[[], None]) -> Iterator[None]:
        """Calls `close` if the flag is set during the block, or is set already."""
        with self._lock:
            self._closers.append(close)
            stopped = self._stopped.is_set()
        try:
            if stopped:
                close()
            yield
        finally:
            with self._lock:
                self._closers.remove(close)

    @contextmanager
    def child(self) -> Iterator[CancellationToken]:
        """A flag for the block's time, which is stopped with this one."""
        child = CancellationToken()

        def stop() -> None:
            child.stop(self._reason)

        with self.on_stop(stop):
            yield child

    def check(self) -> None:
        """Raises Stopped if it was stopped."""
        if self._stopped.is_set():
            raise Stopped(stop_reason=self._reason)

    def wait(self, seconds: float) -> None:
        """Sleeps, and raises Stopped as soon as it is stopped."""
        self._stopped.wait(seconds)
        self.check()
