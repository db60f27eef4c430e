"""Cells with a top-level `await`. They share an event loop, so that a task can continue in a later cell."""

from __future__ import annotations

from types import CodeType

TYPE_CHECKING = False  # replaces `typing.TYPE_CHECKING`, whose import takes a tenth of a sandbox's start
if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Sequence
    from typing import Any

_CO_COROUTINE = 0x80
"""`inspect.CO_COROUTINE`, without importing `inspect`."""


class Coroutines:
    """A runner of the parts of a cell, in an event loop if one of them awaits."""

    def __init__(self) -> None:
        self._loop: AbstractEventLoop | None = None

    def run(self, parts: Sequence[CodeType], namespace: dict[str, object]) -> object:
        """Runs the parts in order. Returns the value of the last, None for statements."""
        if any(part.co_flags & _CO_COROUTINE for part in parts):
            return self._wait_for(_run_in_order(parts, namespace))
        value = None
        for part in parts:
            value = eval(part, namespace)
        return value

    def _wait_for(self, coroutine: Any) -> object:
        import asyncio  # takes a tenth of a second, and few cells need it

        if self._loop is None or self._loop.is_closed():
            self._loop = asyncio.new_event_loop()
        task = self._loop.create_task(coroutine)
        try:
            return self._loop.run_until_complete(task)
        finally:
            if not task.done():  # it was interrupted, and must not continue in a later cell
                task.cancel()


async def _run_in_order(parts: Sequence[CodeType], namespace: dict[str, object]) -> object:
    value: Any = None
    for part in parts:
        value = eval(part, namespace)
        if part.co_flags & _CO_COROUTINE:
            value = await value
    return value
