"""Cancellation: a flag that stops a running rollout. Every wait and every step checks it.

Each sub-LLM has its own flag (`child`). It stops with its rollout, or alone when its cell gives up.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .errors import Stopped

ABANDONED = "abandoned"
"""The reason for stopping a sub-LLM whose cell gave up. A call in flight continues and is metered to its end."""

_DOUBT_SECONDS = 0.05
"""Seconds between two checks of a rollout whose ownership is in doubt."""


class CancellationToken:
    """A stop flag. Any thread may call `stop`, more than once; the first reason counts.

    `is_in_doubt` returns whether another process may have taken the rollout over. While it returns true, every
    check waits until the doubt is gone or the token is stopped.
    """

    def __init__(self, *, is_in_doubt: Callable[[], bool] = lambda: False) -> None:
        self._is_in_doubt = is_in_doubt
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._reason = ""
        self._closers: list[Callable[[], None]] = []
        self._abort_reason = ""
        self._parent: CancellationToken | None = None
        self.was_given_back = False
        self._aborters: list[Callable[[], None]] = []

    @property
    def reason(self) -> str:
        """The reason for the stop: `cancelled`, `interrupted` or `abandoned`; "" while the token is not
        stopped.
        """
        return self._reason

    def stop(self, reason: str) -> None:
        """Stops the rollout at its next step, and interrupts its waits and calls in flight immediately.

        Calls of abandoned work continue until they end, or until the token is stopped for another reason.
        """
        with self._lock:
            due: list[Callable[[], None]] = []
            if not self._stopped.is_set():
                self._reason = reason
                self._stopped.set()
                due += self._closers
            if reason != ABANDONED and not self._abort_reason:
                self._abort_reason = reason
                due += self._aborters
        for close in due:
            close()

    def give_back(self) -> None:
        """Interrupts the whole rollout, which is to continue once the missing resource is back."""
        if self._parent is not None:
            self._parent.give_back()
        else:
            self.was_given_back = True
            self.stop("interrupted")

    @contextmanager
    def on_stop(self, close: Callable[[], None]) -> Iterator[None]:
        """Calls `close` if the flag is set during the block, or was set before it."""
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
    def on_abort(self, close: Callable[[], None]) -> Iterator[None]:
        """Calls `close` if calls in flight must end during the block, or had to end before it."""
        with self._lock:
            self._aborters.append(close)
            aborted = bool(self._abort_reason)
        try:
            if aborted:
                close()
            yield
        finally:
            with self._lock:
                self._aborters.remove(close)

    @contextmanager
    def child(self) -> Iterator[CancellationToken]:
        """Yields a flag that is stopped together with this one, for the duration of the block."""
        child = CancellationToken(is_in_doubt=self._is_in_doubt)
        child._parent = self

        def stop() -> None:
            child.stop(self._reason)

        def abort() -> None:
            child.stop(self._abort_reason)

        with self.on_stop(stop), self.on_abort(abort):
            yield child

    def check(self) -> None:
        """Raises Stopped if the token is stopped."""
        while self._is_in_doubt() and not self._stopped.is_set():
            self._stopped.wait(_DOUBT_SECONDS)
        if self._stopped.is_set():
            raise Stopped(stop_reason=self._reason)

    def wait(self, seconds: float) -> None:
        """Sleeps. Raises Stopped as soon as the token is stopped."""
        self._stopped.wait(seconds)
        self.check()
