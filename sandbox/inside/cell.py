"""One cell: compiles and runs it, converts its last expression and its exception to text, and reads `answer`.

User code (`repr`, `str`, an exception's message) is called only where an interrupt can end it.
"""

from __future__ import annotations

import linecache
import os
import traceback
from _ast import Expr, Expression  # `ast` has much more and is slow to import
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from types import CodeType, TracebackType

from . import frame_checks
from .coroutines import Coroutines
from .source import COMPILE_FLAGS, Parsed, parse

TYPE_CHECKING = False  # replaces `typing.TYPE_CHECKING`, whose import takes a tenth of a sandbox's start
if TYPE_CHECKING:
    from typing import Any, TypeVar

    _T = TypeVar("_T")

_HERE = os.path.dirname(__file__) + os.sep
_CUT = " […]"
_NO = frozenset({"", "0", "false", "none", "null"})

Allowed = Callable[[], AbstractContextManager[None]]


class Outcome:
    def __init__(self) -> None:
        self.out: str | None = None
        self.error: dict[str, str] | None = None
        self.repairs: list[str] = []


def run(
    code: str, *, name: str, namespace: dict[str, object], allowed: Allowed, coroutines: Coroutines
) -> Outcome:
    outcome = Outcome()
    linecache.cache[name] = (len(code), None, [line + "\n" for line in code.splitlines()], name)
    try:
        with allowed():
            parsed = parse(code, name=name)
            outcome.repairs = parsed.repairs
            outcome.out = _execute(parsed, name=name, namespace=namespace, coroutines=coroutines)
    except BaseException as error:  # SystemExit and KeyboardInterrupt end the cell, not the REPL
        outcome.error = guarded(partial(_error_fields, error), allowed) or _unreadable_error(error)
    return outcome


def _execute(parsed: Parsed, *, name: str, namespace: dict[str, object], coroutines: Coroutines) -> str | None:
    def compiled(tree: Any, mode: str) -> CodeType:
        code: CodeType = compile(tree, name, mode, COMPILE_FLAGS, dont_inherit=True)
        return code

    body = parsed.tree.body
    last = body[-1] if body else None
    if not isinstance(last, Expr) or not parsed.shows_value:
        coroutines.run([compiled(parsed.tree, "exec")], namespace)
        return None
    del body[-1]
    parts = [compiled(parsed.tree, "exec"), compiled(Expression(last.value), "eval")]
    value = coroutines.run(parts, namespace)
    return None if value is None else cut(plain(repr(value)), frame_checks.MAX_OUT)


def guarded(work: Callable[[], _T], allowed: Allowed) -> _T | None:
    """Returns the result of `work`; None if user code that it called raised or was interrupted."""
    try:
        with allowed():
            return work()
    except BaseException:
        return None


def plain(text: str) -> str:
    """Returns exactly a str. A subclass could run any code when asked for its length."""
    return text if type(text) is str else str.__str__(text)


def cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - len(_CUT)] + _CUT


def type_name(kind: type) -> str:
    """Returns a type's name without asking its metaclass, which could be the user's."""
    return cut(plain(type.__dict__["__name__"].__get__(kind)), frame_checks.MAX_NAME)


def _error_fields(error: BaseException) -> dict[str, str]:
    try:
        message = plain(str(error))
    except Exception:  # raised by the user's own `__str__`
        message = "(its message could not be read)"
    return {
        "type": type_name(type(error)),
        "message": cut(message, frame_checks.MAX_MESSAGE),
        "traceback": cut(_users_traceback(error), frame_checks.MAX_TRACEBACK),
    }


def _unreadable_error(error: BaseException) -> dict[str, str]:
    return {"type": type_name(type(error)), "message": "(its message could not be read)", "traceback": ""}


def _users_traceback(error: BaseException) -> str:
    frames = _from_cell(error.__traceback__)
    told = traceback.TracebackException(type(error), error, frames)
    _only_users_frames(told, depth=0)
    return "".join(told.format())


def _from_cell(frames: TracebackType | None) -> TracebackType | None:
    while frames is not None and not frames.tb_frame.f_code.co_filename.startswith("<cell "):
        frames = frames.tb_next
    return frames


def _only_users_frames(told: traceback.TracebackException | None, *, depth: int) -> None:
    if told is None or depth > 20:
        return
    told.stack = traceback.StackSummary.from_list(
        [frame for frame in told.stack if not frame.filename.startswith(_HERE)]
    )
    _only_users_frames(told.__cause__, depth=depth + 1)
    _only_users_frames(told.__context__, depth=depth + 1)


def read_answer(answer: Any) -> tuple[str | None, bool]:
    """Returns the content (None if it cannot be read, which keeps the last one) and whether it is ready.

    Texts that mean false, such as "False", are not ready.
    """
    content = dict.get(answer, "content")
    text = (
        ""
        if content is None
        else cut(plain(content if issubclass(type(content), str) else str(content)), frame_checks.MAX_ANSWER)
    )
    try:
        ready = _is_ready(dict.get(answer, "ready"))
    except Exception:  # raised by the user's own `__bool__`
        ready = False
    return text, ready


def _is_ready(said: Any) -> bool:
    if issubclass(type(said), str):
        return plain(said).strip().lower() not in _NO
    return bool(said)
