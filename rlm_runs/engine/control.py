"""How a running rollout is stopped from outside: a flag that every wait and every step looks at."""

from __future__ import annotations

import threading
from collections.abc import Callable

from .errors import Stopped


class Control:
    """One rollout's stop flag. `stop` may be called from any thread, more than once; the first reason counts."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._reason = ""
        self._closers: list[Callable[[], None]] = []

    @property
    def reason(self) -> str:
        """Why it was stopped: `cancelled` or `interrupted`; "" while it is not."""
        return self._reason

    def stop(self, reason: str) -> None:
        """Stops the rollout at its next step, and what it waits for at once."""
        with self._lock:
            if self._stopped.is_set():
                return
            self._reason = reason
            self._stopped.set()
            closers = list(self._closers)
        for close in closers:
            close()

    def on_stop(self, close: Callable[[], None]) -> None:
        """Has `close` called when the rollout is stopped: at once, if it already is."""
        with self._lock:
            self._closers.append(close)
            stopped = self._stopped.is_set()
        if stopped:
            close()

    def check(self) -> None:
        """Raises Stopped if the rollout was stopped."""
        if self._stopped.is_set():
            raise Stopped(stop_reason=self._reason)

    def wait(self, seconds: float) -> None:
        """Sleeps, and raises Stopped as soon as the rollout is."""
        self._stopped.wait(seconds)
        self.check()
