"""The context of a running rollout: what its parts share, and the queue through which its events leave.

Only the rollout's own thread records events. Sub-LLMs run in threads of the rollout's pools and put their events
into the queue; the rollout's thread empties it whenever it waits.
"""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from .budget import Budget
from .cancellation import CancellationToken
from .clients.base import ModelClient
from .events import Cost, Event, Usage
from .live import LiveBoard
from .replay import Replay

T = TypeVar("T")
Price = Callable[[str, Usage, datetime], Cost | None]
"""A function that returns the cost of a call to a model that ended at the given time; None if unknown."""


@dataclass(frozen=True)
class Model:
    """A model and its client. `window` is the context window in tokens, None if unknown."""

    name: str
    client: ModelClient
    window: int | None = None


@dataclass(frozen=True)
class Models:
    """The models of each role: `main` for the root, `sub` for sub-LLMs, `judge` for scoring.

    `sampling` is sent with every call except the judge's.
    """

    main: Model
    sub: Model
    judge: Model
    sampling: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class RolloutContext:
    """The state that the parts of a running rollout share. Created by the rollout's own thread."""

    models: Models
    budget: Budget
    control: CancellationToken
    record: Callable[[Sequence[Event]], None]
    price: Price
    live: LiveBoard = field(default_factory=LiveBoard)
    replay: Replay = field(default_factory=Replay)
    events: queue.SimpleQueue[Event | BaseException | None] = field(default_factory=queue.SimpleQueue)
    _keys: itertools.count[int] = field(default_factory=itertools.count)
    _recorder: int = field(default_factory=threading.get_ident)
    """The rollout's own thread."""

    def under(self, control: CancellationToken) -> RolloutContext:
        """Returns a context for a part of the rollout that can be stopped alone."""
        return replace(self, control=control)

    def new_key(self) -> int:
        """Returns a key for a trajectory or an execution, unique in the rollout."""
        return self.replay.first_free_key + next(self._keys)

    def emit(self, event: Event) -> None:
        """Queues an event, from any thread, for the rollout's own thread to record."""
        self.events.put(event)

    def fail(self, error: BaseException) -> None:
        """Queues an internal error, from any thread, for the rollout's own thread to raise."""
        self.events.put(error)

    def record_events(self) -> None:
        """Records the queued events. Does nothing in other threads than the rollout's own."""
        if threading.get_ident() == self._recorder:
            while not self.events.empty():
                self._record_next()

    def wait_for(self, future: Future[T]) -> T:
        """Returns the future's result. The rollout's own thread records events while it waits."""
        if threading.get_ident() != self._recorder:
            return future.result()
        # None wakes up the queue; no other thread waits on it.
        future.add_done_callback(lambda _: self.events.put(None))
        while not future.done():
            self._record_next()
        self.record_events()
        return future.result()

    def wait_until_done(self, future: Future[Any], *, seconds: float) -> None:
        """Waits for the future, at most for `seconds`. The rollout's own thread records events while it waits."""
        if threading.get_ident() != self._recorder:
            done = threading.Event()  # `futures.wait` would not notice a cancellation
            future.add_done_callback(lambda _: done.set())
            done.wait(seconds)
            return
        deadline = time.monotonic() + seconds
        # As in `wait_for`. A late wake-up reaches the next wait, which checks again and continues.
        future.add_done_callback(lambda _: self.events.put(None))
        while not future.done() and (left := deadline - time.monotonic()) > 0:
            self._record_next(within=left)
        self.record_events()

    def finish(self, pool: ThreadPoolExecutor) -> None:
        """Shuts the pool down, and records until its last call has returned, so that late calls are metered."""
        closing = ThreadPoolExecutor(1, thread_name_prefix="close")
        with closing:
            self.wait_for(closing.submit(pool.shutdown, wait=True, cancel_futures=True))

    def _record_next(self, *, within: float | None = None) -> None:
        """Waits for an event and records it together with the events queued after it."""
        try:
            waiting = [self.events.get(timeout=within)]
        except queue.Empty:
            return
        while not self.events.empty():
            waiting.append(self.events.get_nowait())
        events: list[Event] = []
        for event in waiting:
            if isinstance(event, BaseException):
                raise event
            if event is not None:
                events.append(event)
        if events:
            self.record(events)


def now() -> datetime:
    """Returns the current time in UTC."""
    return datetime.now(UTC)
