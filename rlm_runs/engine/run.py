"""One rollout while it runs: what its parts share, and the one queue through which its events leave.

Only the rollout's own thread records events. Sub-LLMs run in threads of the rollout's pool and put theirs
into the queue; the rollout's thread empties it whenever it waits.
"""

from __future__ import annotations

import itertools
import queue
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeVar

from .budget import Budget
from .clients.base import ModelClient
from .control import Control
from .events import Event, Usage

T = TypeVar("T")
Price = Callable[[str, Usage], Decimal | None]


@dataclass(frozen=True)
class Models:
    """Who answers: `main` the root's model, `sub` that of sub-LLMs, `judge` that of scoring.

    `window` is the root's context window in tokens. `sampling` is sent with every call but the judge's.
    """

    client: ModelClient
    main: str
    sub: str
    judge: str = ""
    window: int | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Run:
    """What the parts of a running rollout share."""

    models: Models
    budget: Budget
    control: Control
    record: Callable[[Event], None]
    price: Price
    price_version: str
    events: queue.SimpleQueue[Event | BaseException | None] = field(default_factory=queue.SimpleQueue)
    _keys: itertools.count[int] = field(default_factory=itertools.count)

    def new_key(self) -> int:
        """A key for a trajectory or an execution, unique in the rollout."""
        return next(self._keys)

    def emit(self, event: Event) -> None:
        """Hands an event over, from any thread, to be recorded by the rollout's own."""
        self.events.put(event)

    def fail(self, error: BaseException) -> None:
        """Hands an error of ours over, from any thread: it is raised in the rollout's own."""
        self.events.put(error)

    def record_events(self) -> None:
        """Records what was handed over by now. Called by the rollout's own thread only."""
        while not self.events.empty():
            self._record_one()

    def wait_for(self, future: Future[T]) -> T:
        """The future's result, recording events until it is there. Called by the rollout's own thread only."""
        # None wakes the queue up; nothing else may be waiting on it.
        future.add_done_callback(lambda _: self.events.put(None))
        while not future.done():
            self._record_one()
        self.record_events()
        return future.result()

    def finish(self, pool: ThreadPoolExecutor) -> None:
        """Ends the pool, recording until its last call has come back: what was spent late is spent, too."""
        closing = ThreadPoolExecutor(1, thread_name_prefix="close")
        with closing:
            self.wait_for(closing.submit(pool.shutdown, wait=True, cancel_futures=True))

    def _record_one(self) -> None:
        event = self.events.get()
        if isinstance(event, BaseException):
            raise event
        if event is not None:
            self.record(event)


def now() -> datetime:
    """The time, with its zone."""
    return datetime.now(UTC)
