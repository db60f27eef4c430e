"""Gates that a call passes before it begins: limits of a server, or of a rollout's sub-calls.

The gate in this module limits the calls in flight of one rollout. Gates of a server are shared by all processes;
they live outside the engine and have the same interface.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from ..cancellation import CancellationToken
from ..events import Usage
from .base import Completion, Messages, ModelClient, ToolSchemas, Watcher

_LOOK_AT_CONTROL = 0.2
"""Seconds between two checks of the stop flag while a call waits for its turn."""


@dataclass(frozen=True)
class Outcome:
    """The end of one try of a call.

    `retry_after` is in seconds, as the server asked. `fault` describes what is wrong with the endpoint; it is ""
    if nothing is, or if only this call failed.
    """

    usage: Usage | None = None
    retry_after: float | None = None
    fault: str = ""


Report = Callable[[Outcome], None]
"""Receives the outcome of a try that passed a gate."""


class ServerGate(Protocol):
    """A gate that each try of a call passes. Thread-safe."""

    def passed(self, control: CancellationToken, *, tokens: int = 0) -> AbstractContextManager[Report]:
        """Waits for the try's turn and holds its place for the duration of the block.

        `tokens` is the estimate of the try. Raises Stopped.
        """

    def fails_since(self, moment: float) -> bool:
        """Returns whether the server is failing and calls should wait for it.

        This is the case if it has answered no call since `moment`, a time of the monotonic clock.
        """


class Gate:
    """A gate that admits `concurrency` callers at a time."""

    def __init__(self, *, concurrency: int) -> None:
        self._places = threading.BoundedSemaphore(concurrency)

    @contextmanager
    def passed(self, control: CancellationToken, *, tokens: int = 0) -> Iterator[Report]:
        """See `ServerGate`."""
        while not self._places.acquire(timeout=_LOOK_AT_CONTROL):
            control.check()
        try:
            yield _ignored
        finally:
            self._places.release()

    def fails_since(self, moment: float) -> bool:
        """See `ServerGate`."""
        return False


def _ignored(_: Outcome) -> None:
    """Ignores how a call ended."""


class GatedClient:
    """A client behind a gate. `check` runs when a call's turn has come, and may refuse the call by raising."""

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
