"""The keeper of a process's limits: one thread asks for grants on behalf of all waiting calls.

A call that fits into this process's grants begins at once. Otherwise the keeper asks Postgres for what all waiting
calls need, in one transaction at most every 50 ms. It reads the shared state four times a second while calls are
in flight.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from itertools import islice

from django.db import Error, connection

from ..worker_registry import process_name
from . import store
from .lines import Call, Door, Line, Scope
from .shares import Limits, granted

logger = logging.getLogger(__name__)

TICK = 0.25
"""Seconds between two reads of the shared state while calls are in flight."""
_SPACING = 0.05
"""The minimum number of seconds between two transactions."""
_PAUSE_AFTER_ERROR = 0.5
_MOST_CALLS = 4096
"""The maximum number of waiting calls of a line in one request."""


class Keeper:
    """The keeper of this process's grants. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._scopes: dict[str, Scope] = {}
        self._lines: dict[tuple[str, ...], Line] = {}
        self._known: set[str] = set()
        self._leased: set[str] = set()
        self._work = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def line(self, limits: Mapping[str, Limits], *, door: Door | None = None) -> Line:
        """Returns the line of calls that pass these scopes, given by name: the model's first, then its
        endpoint's.
        """
        with self._lock:
            key = tuple(limits)
            if key not in self._lines:
                scopes = [self._scopes.setdefault(name, Scope(name, limit)) for name, limit in limits.items()]
                self._lines[key] = Line(tuple(scopes), door)
            return self._lines[key]

    def look_again(self) -> None:
        """Admits calls that a door held back."""
        with self._lock:
            self._admit()

    def enter(self, line: Line, call: Call) -> None:
        """Puts a call in the line. Its `woken` is set when it may begin."""
        with self._lock:
            line.calls.append(call)
            self._admit()
            self._start()
        self._work.set()

    def leave(self, line: Line, call: Call) -> None:
        """Removes a call that no longer waits. If it was admitted in the meantime, it returns its place."""
        with self._lock:
            if call.admitted:
                self._end(line, call, used=0)
            else:
                line.calls.remove(call)

    def end(self, line: Line, call: Call, *, used: int | None) -> None:
        """Ends a call that began. `used` is the number of its tokens; None leaves the estimate in place."""
        with self._lock:
            self._end(line, call, used=used)

    def block(self, scope: Scope, *, seconds: float) -> None:
        """Blocks all calls of all processes for this number of seconds."""
        with self._lock:
            scope.blocked_until = max(scope.blocked_until, time.monotonic() + seconds)
            scope.block_for = max(scope.block_for or 0.0, seconds)
        self._work.set()

    def _end(self, line: Line, call: Call, *, used: int | None) -> None:
        for scope, second in zip(line.scopes, call.seconds, strict=True):
            scope.in_flight -= 1
            if used is not None and scope.limits.tokens_per_minute is not None and used != call.tokens:
                scope.corrections.append((second, call.tokens - used))
        self._admit()

    def _admit(self) -> None:
        """Admits calls, one of each line in turn."""
        progress = True
        while progress:
            progress = False
            for line in self._lines.values():
                progress |= line.admit_next()

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._keep, name="limits", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Ends the thread, and returns everything that this process holds."""
        self._closed.set()
        self._work.set()
        if self._thread is not None:
            self._thread.join(5)

    def _keep(self) -> None:
        wait: float | None = None
        while True:
            self._work.wait(wait)
            self._work.clear()
            try:
                if self._closed.is_set():
                    store.release(sorted(self._leased), process=process_name())
                    return
                wait = self._refill()
            except LookupError:  # a row was deleted
                self._known.clear()
                wait = _PAUSE_AFTER_ERROR
            except Error as error:
                if self._closed.is_set():
                    return
                logger.warning("limits of endpoints wait for the database: %s", error)
                wait = _PAUSE_AFTER_ERROR
            except Exception:  # without this thread no call would begin again
                logger.exception("limits of endpoints could not be asked for")
                wait = _PAUSE_AFTER_ERROR
            finally:
                connection.close()
            time.sleep(_SPACING)

    def _refill(self) -> float | None:
        """Asks for the grants that are needed.

        Returns the seconds until the next request is due, None if no scope is active.
        """
        with self._lock:
            active = [scope for scope in self._scopes.values() if self._is_active(scope)]
            idle = [name for name in self._leased if not self._is_active(self._scopes[name])]
            for name in idle:
                self._scopes[name].usable = 0
        if idle:
            store.release(idle, process=process_name())
            self._leased.difference_update(idle)
        if not active:
            return None
        if new := sorted({scope.name for scope in active} - self._known):
            store.create(new)
            store.forget_dead()
            self._known.update(new)
        for scope in active:
            if (seconds := scope.block_for) is not None:
                store.block(scope.name, seconds=seconds)
                scope.block_for = None
        limited = self._scopes_to_refill(active)
        if others := [scope.name for scope in active if scope not in limited]:
            self._block_all(store.blocked(others))
        wait = self._exchange(limited) if limited else None
        return TICK if wait is None else min(TICK, wait)

    def _scopes_to_refill(self, active: Sequence[Scope]) -> list[Scope]:
        """Returns the scopes that need a grant, including all other scopes that their calls pass."""
        now = time.monotonic()
        with self._lock:
            asking = {
                scope.name
                for line in self._lines.values()
                if any(
                    s in active and s.limits and s.must_ask(waiting=bool(line.calls), now=now) for s in line.scopes
                )
                for scope in line.scopes
            }
        return sorted((s for s in active if s.limits and s.name in asking), key=lambda scope: scope.name)

    def _is_active(self, scope: Scope) -> bool:
        return bool(
            scope.in_flight
            or scope.lots
            or scope.corrections
            or scope.block_for is not None
            or any(line.calls for line in self._lines.values() if scope in line.scopes)
        )

    def _block_all(self, seconds: Mapping[str, float]) -> None:
        now = time.monotonic()
        with self._lock:
            for name, left in seconds.items():
                self._scopes[name].blocked_until = max(self._scopes[name].blocked_until, now + left)
            self._admit()

    def _exchange(self, scopes: Sequence[Scope]) -> float | None:
        waits: list[float] = []
        with self._lock:
            now = time.monotonic()
            for scope in scopes:
                scope.drop_stale(now=now)
                scope.frozen = True
            sent = {scope.name: len(scope.corrections) for scope in scopes}
            waiting = {
                key: [call.tokens for call in islice(line.calls, _MOST_CALLS)] for key, line in self._lines.items()
            }
        decided: dict[str, store.ScopeGrant] = {}

        def decide(states: Mapping[str, store.State]) -> Mapping[str, store.ScopeGrant]:
            nonlocal decided
            decided = self._decide(scopes, waiting, states)
            return decided

        try:
            states = store.exchange(scopes, process=process_name(), decide=decide)
        finally:
            with self._lock:
                for scope in scopes:
                    scope.frozen = False
        with self._lock:
            for scope in scopes:
                state, grant = states[scope.name], decided[scope.name].grant
                del scope.corrections[: sent[scope.name]]
                scope.take(grant, asked_at=now, second=int(state.now))
                scope.blocked_until = max(scope.blocked_until, now + state.blocked_for)
                self._leased.add(scope.name)
                if grant.wait is not None:
                    waits.append(grant.wait)
            self._admit()
        return min(waits, default=None)

    def _decide(
        self,
        scopes: Sequence[Scope],
        waiting: Mapping[tuple[str, ...], Sequence[int]],
        states: Mapping[str, store.State],
    ) -> dict[str, store.ScopeGrant]:
        """Grants scope by scope, models first: the endpoint is not asked for calls that their model cannot
        begin.
        """
        decided: dict[str, store.ScopeGrant] = {}
        left = dict(waiting)
        models = {key[0] for key in left}
        for scope in sorted(scopes, key=lambda scope: scope.name not in models):
            keys = [key for key in left if scope.name in key]
            calls = [tokens for key in keys for tokens in left[key]]
            state = states[scope.name]
            wanted = scope.ask([tokens for key in keys for tokens in waiting[key]]).holding
            if state.blocked_for:
                calls = []
            ask = scope.ask(calls, expected=scope.expected)
            grant = granted(scope.limits, state.pace, ask, others=state.others, now=state.now)
            decided[scope.name] = store.ScopeGrant(grant, wanted)
            for key in keys:
                if key[0] == scope.name:
                    left[key] = left[key][: grant.startable]
        return decided


KEEPER = Keeper()
"""The keeper of this process."""
