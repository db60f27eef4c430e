"""A gate before a server or a rollout's sub-calls: it limits concurrent calls and calls per minute."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ..cancellation import CancellationToken
from .base import Completion, Messages, ModelClient, ToolSchemas, Watcher

_LOOK_AT_CONTROL = 0.2
"""Seconds between two checks of the stop flag while a call waits for its turn."""


class Gate:
    """Lets `concurrency` callers in at a time, and `per_minute` of them in a minute, evenly; None is no limit."""

    def __init__(self, *, concurrency: int | None = None, per_minute: float | None = None) -> None:
        self._places = None if concurrency is None else threading.BoundedSemaphore(concurrency)
        self._interval = 0.0 if per_minute is None else 60 / per_minute
        self._lock = threading.Lock()
        self._next_at = 0.0

    @contextmanager
    def passed(self, control: CancellationToken) -> Iterator[None]:
        """Waits for the caller's turn, and holds its place for the block. Raises Stopped."""
        self._wait_for_place(control)
        try:
            self._wait_for_time(control)
            yield
        finally:
            if self._places is not None:
                self._places.release()

    def _wait_for_place(self, control: CancellationToken) -> None:
        while self._places is not None and not self._places.acquire(timeout=_LOOK_AT_CONTROL):
            control.check()

    def _wait_for_time(self, control: CancellationToken) -> None:
        if not self._interval:
            return
        with self._lock:
            now = time.monotonic()
            at = max(now, self._next_at)
            self._next_at = at + self._interval
        control.wait(at - now)


class GatedClient:
    """A client behind a gate. `check` is asked when a call's turn has come, and may refuse it."""

    def __init__(self, client: ModelClient, gate: Gate, *, check: Callable[[], None]) -> None:
        self._client = client
        self._gate = gate
        self._check = check

    def complete(
        self,
        *,
        model: str,
        messages: Messages,
        tools: ToolSchemas = (),
        sampling: Mapping[str, Any],
        control: CancellationToken,
        watcher: Watcher | None = None,
    ) -> Completion:
        """See `ModelClient`."""
        with self._gate.passed(control):
            control.check()
            self._check()
            return self._client.complete(
                model=model, messages=messages, tools=tools, sampling=sampling, control=control, watcher=watcher
            )
