"""Threads that inherit the context variables of the thread that starts their work, so that logs name the
rollout.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class ContextExecutor(ThreadPoolExecutor):
    """A ThreadPoolExecutor whose calls run in a copy of the submitter's context."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Schedules a call as `ThreadPoolExecutor.submit` does."""
        context = copy_context()
        return super().submit(lambda: context.run(fn, *args, **kwargs))


class CallThread:
    """A runner of one call at a time, each in a new thread and in a copy of the caller's context.

    The thread ends with its call, so that a rollout that waits for its model holds no idle thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._thread: threading.Thread | None = None

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Starts the call and returns its future."""
        future: Future[T] = Future()
        context = copy_context()

        def call() -> None:
            try:
                result = context.run(fn, *args, **kwargs)
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)

        self._thread = threading.Thread(target=call, name=self._name, daemon=True)
        self._thread.start()
        return future

    def join(self) -> None:
        """Waits for the last call."""
        if self._thread is not None:
            self._thread.join()
