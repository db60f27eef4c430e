"""The table of the user's variables: name, type, size and short repr, made without calling user code.

Only exact types of the language, numpy and pandas are inspected. Other values show their type only.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Container
from itertools import islice
from types import ModuleType

from .cell import cut, type_name
from .frame_checks import MAX_NAME, MAX_REPR, MAX_VARIABLES

TYPE_CHECKING = False  # replaces `typing.TYPE_CHECKING`, whose import takes a tenth of a sandbox's start
if TYPE_CHECKING:
    from typing import Any

_SECONDS = 0.02
_ITEMS = 6
_DEPTH = 2
_MAX_BITS = 256

_SCALARS = (bool, float, complex, type(None), type(Ellipsis), range)
_BRACKETS: dict[type, tuple[str, str]] = {
    list: ("[", "]"),
    tuple: ("(", ")"),
    set: ("{", "}"),
    frozenset: ("frozenset({", "})"),
}
_SIZED = (str, bytes, bytearray, list, tuple, dict, set, frozenset, range)
_SHAPED = {"numpy": ("ndarray",), "pandas": ("DataFrame", "Series", "Index")}

Row = list[str]


def table(namespace: dict[str, object], *, hidden: Container[str]) -> list[Row]:
    """Returns the variables that were set last, up to a limit of number and time."""
    ends_at = time.monotonic() + _SECONDS
    rows: list[Row] = []
    for name, value in reversed(list(namespace.items())):
        if type(name) is not str or name.startswith("_") or name in hidden or issubclass(type(value), ModuleType):
            continue
        if len(rows) >= MAX_VARIABLES or (rows and time.monotonic() > ends_at):
            break
        rows.append([cut(name, MAX_NAME), type_name(type(value)), size(value), cut(shown(value), MAX_REPR)])
    return rows[::-1]


def size(value: object) -> str:
    kind = type(value)
    if kind in _SIZED:
        return str(len(value))  # type: ignore[arg-type]
    for module, names in _SHAPED.items():
        if any(kind is getattr(sys.modules.get(module), name, None) for name in names):
            return cut(" × ".join(map(str, value.shape)), MAX_NAME)  # type: ignore[attr-defined]
    return ""


def shown(value: object, *, depth: int = _DEPTH) -> str:
    kind = type(value)
    if kind in (str, bytes, bytearray):
        head = repr(value[:MAX_REPR])  # type: ignore[index]
        return head if len(value) <= MAX_REPR else head + "…"  # type: ignore[arg-type]
    if kind in _SCALARS:
        return repr(value)
    if kind is int:
        bits = int.bit_length(value)  # type: ignore[arg-type]
        return repr(value) if bits <= _MAX_BITS else f"<int of {bits} bits>"
    if kind in _BRACKETS or kind is dict:
        return _container(value, depth=depth)
    return f"<{type_name(kind)}>"


def _container(value: Any, *, depth: int) -> str:
    if depth == 0:
        return "…"
    if type(value) is dict:
        pairs = islice(value.items(), _ITEMS)
        items = [f"{shown(key, depth=depth - 1)}: {shown(one, depth=depth - 1)}" for key, one in pairs]
        start, end = "{", "}"
    else:
        items = [shown(one, depth=depth - 1) for one in islice(value, _ITEMS)]
        start, end = _BRACKETS[type(value)]
    more = ", …" if len(value) > _ITEMS else ""
    return start + ", ".join(items) + more + end
