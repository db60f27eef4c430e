"""Threads that carry the context variables of the thread that starts their work, so that logs name the rollout."""

from __future__ import annotations

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
