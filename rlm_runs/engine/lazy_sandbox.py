"""A sandbox that starts with its first cell, so that a rollout whose model has not run code holds no container.

It waits for an unavailable engine, because nothing is lost yet.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from sandbox.contract import Batch, CellResult, Sandbox, SandboxError

from .engine_patience import with_engine_patience


class LazySandbox:
    """A `Sandbox` that starts on demand. Any thread may call `close` at any time.

    `patience` is the number of seconds for which it waits for an unavailable engine.
    """

    def __init__(self, start: Callable[[], Sandbox], *, backend: str, patience: float = 300.0) -> None:
        self.backend = backend
        self._start = start
        self._patience = patience
        self._lock = threading.Lock()
        self._sandbox: Sandbox | None = None
        self._load: Callable[[Sandbox], None] | None = None
        self._closed = threading.Event()

    def load(self, variables: Mapping[str, str], *, rlm: bool = True) -> None:
        """See `Sandbox`. The variables are set when the sandbox starts."""
        self._load = lambda sandbox: sandbox.load(variables, rlm=rlm)

    def execute(
        self,
        code: str,
        *,
        time_limit: float,
        on_batch: Callable[[Batch], None] | None = None,
        on_output: Callable[[str], None] | None = None,
    ) -> CellResult:
        """See `Sandbox`. The start is not part of the cell's time."""
        return self._started().execute(code, time_limit=time_limit, on_batch=on_batch, on_output=on_output)

    def close(self) -> None:
        """See `Sandbox`."""
        with self._lock:
            self._closed.set()
            sandbox = self._sandbox
        if sandbox is not None:
            sandbox.close()

    def _started(self) -> Sandbox:
        if self._sandbox is not None:
            return self._sandbox
        self._wait(0)
        sandbox = with_engine_patience(self._start, seconds=self._patience, wait=self._wait)
        with self._lock:
            self._sandbox = sandbox
            closed = self._closed.is_set()
        if closed:  # closed while it started
            sandbox.close()
            raise SandboxError("the sandbox is closed")
        if self._load is not None:
            self._load(sandbox)
        return sandbox

    def _wait(self, seconds: float) -> None:
        if self._closed.wait(seconds):
            raise SandboxError("the sandbox is closed")
