"""The circuits of the models that this process calls, and the outcomes that it has to report.

One thread reports how calls ended, reads the circuits four times a second while there are calls, and claims the
probe of an open circuit for a waiting call.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from django.db import Error, connection

from ..circuit_settings import CircuitSettings
from . import store

logger = logging.getLogger(__name__)

TICK = 0.25
PATIENCE = 30.0
"""Seconds for which a rollout waits for an open circuit before it is given back."""
_TELL_GOOD = 2.0
"""Seconds between two reports while nothing fails."""
_PAUSE_AFTER_ERROR = 0.5


@dataclass(eq=False)
class Watch:
    """The circuit of one model. Times are of the monotonic clock."""

    model: str
    rules: CircuitSettings
    users: int = 0
    """Calls that wait or are in flight."""
    waiting: int = 0
    is_open: bool = False
    opened_at: float = 0.0
    last_good: float = float("-inf")
    outcomes: list[bool] = field(default_factory=list)
    error: str = ""
    told_at: float = 0.0
    has_probe: bool = False
    """Whether this process may make the one call that probes the model."""
    is_probing: bool = False
    probe_result: tuple[bool | None, str] | None = None

    def admits(self) -> bool:
        """Returns whether a call may begin."""
        return not self.is_open or (self.has_probe and not self.is_probing)

    def begun(self) -> bool:
        """Notes that a call begins. Returns whether it is the probe."""
        self.is_probing = self.is_probing or self.is_open
        return self.is_open

    def is_given_up(self) -> bool:
        """Returns whether the model has failed for so long that rollouts no longer wait for it."""
        return self.is_open and not self.has_probe and time.monotonic() - self.opened_at > PATIENCE

    def fails_since(self, moment: float) -> bool:
        """Returns whether the model has answered no call since `moment`."""
        return self.rules.enabled and (self.is_open or self.last_good < moment)


class Watcher:
    """The watches of a process. Thread-safe. `on_change` is called when calls may begin that could not before."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._lock = threading.Lock()
        self._watches: dict[str, Watch] = {}
        self._work = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self, model: str, rules: CircuitSettings) -> Watch:
        """Returns the watch of a model."""
        with self._lock:
            return self._watches.setdefault(model, Watch(model, rules))

    def enter(self, watch: Watch) -> None:
        """Notes that a call begins to wait."""
        with self._lock:
            watch.users += 1
            watch.waiting += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._keep, name="circuits", daemon=True)
                self._thread.start()
        self._work.set()

    def waited(self, watch: Watch) -> None:
        """Notes that a call no longer waits."""
        with self._lock:
            watch.waiting -= 1

    def leave(self, watch: Watch, *, is_probe: bool, good: bool | None, error: str) -> None:
        """Notes that a call ended: `good`, or failed through the endpoint's fault. None says nothing about the
        endpoint.
        """
        with self._lock:
            watch.users -= 1
            if good is not None:
                watch.outcomes.append(good)
                watch.error = error or watch.error
            if good:
                watch.last_good = time.monotonic()
            if is_probe:
                watch.probe_result = good, error
        self._work.set()

    def close(self) -> None:
        """Ends the thread, after it has reported the remaining outcomes."""
        self._closed.set()
        self._work.set()
        if self._thread is not None:
            self._thread.join(5)

    def _keep(self) -> None:
        wait: float | None = None
        while not self._closed.is_set():
            self._work.wait(wait)
            self._work.clear()
            try:
                wait = TICK if self._look() else None
            except Error as error:
                logger.warning("circuits wait for the database: %s", error)
                wait = _PAUSE_AFTER_ERROR
            except Exception:  # without this thread no circuit would close again
                logger.exception("circuits could not be looked at")
                wait = _PAUSE_AFTER_ERROR
            finally:
                connection.close()
            time.sleep(TICK / 5)

    def _look(self) -> bool:
        with self._lock:
            active = [
                watch for watch in self._watches.values() if watch.users or watch.outcomes or watch.has_probe
            ]
        for watch in active:
            self._report(watch)
        seen = store.look([watch.model for watch in active]) if active else {}
        changed = [self._note(watch, seen.get(watch.model)) for watch in active]
        if any(changed):
            self._on_change()
        return bool(active)

    def _report(self, watch: Watch) -> None:
        with self._lock:
            is_due = not all(watch.outcomes) or not watch.users or time.monotonic() - watch.told_at > _TELL_GOOD
            outcomes = watch.outcomes if is_due else []
            result, error = watch.probe_result, watch.error
            if result is None and watch.has_probe and not watch.is_probing and not watch.waiting:
                result = None, ""  # the call that wanted to probe has left
        if outcomes:
            store.report(watch.model, list(outcomes), error=error, rules=watch.rules)
            with self._lock:
                del watch.outcomes[: len(outcomes)]
                watch.told_at = time.monotonic()
        if result is not None:
            store.end_probe(watch.model, good=result[0], error=result[1], rules=watch.rules)
            with self._lock:
                watch.has_probe = watch.is_probing = False
                watch.probe_result = None

    def _note(self, watch: Watch, seen: store.CircuitView | None) -> bool:
        """Notes the state of a circuit. Returns whether calls may begin that could not before."""
        now = time.monotonic()
        with self._lock:
            could = watch.admits()
            watch.is_open = seen is not None and seen.is_open
            if seen is not None:
                watch.opened_at = now - seen.open_for
                if seen.last_good is not None:
                    watch.last_good = max(watch.last_good, now - seen.last_good)
            wants_probe = watch.is_open and watch.waiting and not watch.has_probe
        if wants_probe and seen is not None and seen.probe_is_due and store.take_probe(watch.model):
            with self._lock:
                watch.has_probe = True
        return watch.admits() and not could
