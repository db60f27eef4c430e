"""Calls into an environment's code with a time limit. A call that hangs is left behind.

A thread cannot be killed from outside. Such a call therefore runs in a daemon thread, and nothing waits for it
after its time limit or once its rollout is stopped. The threads are counted, so that a tool that always hangs does
not exhaust the process.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextvars import copy_context
from typing import Any, TypeVar

from .rollout_context import RolloutContext

T = TypeVar("T")

MOST_LEFT_BEHIND = 200
"""The number of abandoned threads that still run in this process at which no further call begins."""


class CallFailed(Exception):
    """A call raised an exception or was given up. The message is for the model."""

    def __init__(self, message: str, *, error_type: str, timed_out: bool = False) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.timed_out = timed_out


def call_within(seconds: float, call: Callable[[], T], *, run: RolloutContext, name: str) -> T:
    """Returns the result of the call. Raises CallFailed if the call raises or takes longer.

    Raises Stopped as soon as the rollout, or this part of it, is stopped. The rollout's own thread records events
    while it waits; errors of recording are raised as they are, not as failures of the call.
    """
    if _LEFT.count() >= MOST_LEFT_BEHIND:
        raise CallFailed(f"{name} is not called: too many calls before it still hang", error_type="TooManyHang")
    # Never marked as running, so that it can be cancelled at any time. A late result is dropped.
    done: Future[T] = Future()
    thread = threading.Thread(
        target=copy_context().run, args=(_settle, done, call), name=f"call-{name}", daemon=True
    )
    with run.control.on_stop(lambda: _drop(done)):
        thread.start()
        run.wait_until_done(done, seconds=seconds)
    if done.cancel():  # true also if it was cancelled before
        _LEFT.add(thread)
        run.control.check()
        message = f"{name} took longer than {seconds:g} s and was given up"
        raise CallFailed(message, error_type="TimeLimit", timed_out=True)
    error = done.exception()
    if error is not None:
        raise CallFailed(str(error) or type(error).__name__, error_type=type(error).__name__) from error
    return done.result()


def _drop(done: Future[Any]) -> None:
    done.cancel()


def _settle(done: Future[T], call: Callable[[], T]) -> None:
    try:
        result = call()
    except BaseException as error:  # of any type; the waiting code handles it
        _set_outcome(done.set_exception, error)
    else:
        _set_outcome(done.set_result, result)


def _set_outcome(tell: Callable[[Any], None], outcome: Any) -> None:
    try:
        tell(outcome)
    except InvalidStateError:
        return  # it was given up in the meantime


class _AbandonedThreads:
    """The threads that were left behind and still run."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()

    def add(self, thread: threading.Thread) -> None:
        with self._lock:
            self._threads.add(thread)

    def count(self) -> int:
        with self._lock:
            self._threads = {thread for thread in self._threads if thread.is_alive()}
            return len(self._threads)


_LEFT = _AbandonedThreads()
