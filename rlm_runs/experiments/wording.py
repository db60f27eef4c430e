"""Plain descriptions of the values that a setting accepts, and of what is wrong with a rejected one."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

_MOST = 10**8
"""A bound from here on keeps a number within its column, and is not worth a word."""
_LONGEST = 80
"""Characters of a given value that a message repeats."""

_WORDS = {
    "missing": "is missing",
    "too_short": "must not be empty",
    "string_too_short": "must not be empty",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "string_type": "must be text",
    "dict_type": "must be a table",
    "finite_number": "must be a finite number",
}
_BOUNDS = {
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("above", "gt"),
    "less_than_equal": ("at most", "le"),
    "less_than": ("below", "lt"),
}


def accepted(field: FieldInfo) -> str:
    """Returns `a number from 0 to 2`, `true or false`, or `one of a, b`; "" if any text is accepted."""
    kind, is_optional = _kind_of(field.annotation)
    found = ""
    if choices := _choices(kind):
        found = f"one of {', '.join(choices)}"
    elif kind is bool:
        found = "true or false"
    elif kind is int:
        found = f"a whole number{_range(field)}"
    elif kind in (float, Decimal):
        found = f"a number{_range(field)}"
    return f"{found}, or none" if found and is_optional and field.default is not None else found


def message(detail: ErrorDetails, field: FieldInfo | None) -> str:
    """Returns what is wrong with a value, and what is accepted. `field` is None if unknown."""
    kind, given, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "value_error":
        return detail["msg"].removeprefix("Value error, ")
    if kind == "extra_forbidden":
        return f"unknown setting {str(detail['loc'][-1])!r}"
    if kind == "string_too_long":
        return f"must have at most {context['max_length']:,} characters, not {len(given):,}"
    if kind in ("model_type", "model_attributes_type"):
        is_entry = (detail["loc"] or ("",))[0] in ("models", "scaffolds", "environments")
        return "must be a name, or a table with a name and settings" if is_entry else "must be a table"
    if kind in _BOUNDS and (field is None or _is_beyond_words(context)):
        word, name = _BOUNDS[kind]
        return f"must be {word} {_number(context[name])}, not {_repeated(given)}"
    if kind in _WORDS:
        is_told = kind in ("missing", "too_short", "string_too_short")
        return _WORDS[kind] if is_told else f"{_WORDS[kind]}, not {_repeated(given)}"
    expected = accepted(field) if field is not None else ""
    if not expected:
        expected = detail["msg"].removeprefix("Input should be ")
        expected = expected[:1].lower() + expected[1:]
    return f"must be {expected}, not {_repeated(given)}{_guess(given, field)}"


def _kind_of(annotation: Any) -> tuple[Any, bool]:
    """Returns the type without None, and whether None is allowed."""
    if typing.get_origin(annotation) not in (typing.Union, types.UnionType):
        return annotation, False
    parts = [part for part in typing.get_args(annotation) if part is not types.NoneType]
    return parts[0], len(parts) < len(typing.get_args(annotation))


def _choices(kind: Any) -> Sequence[str]:
    return [str(value) for value in typing.get_args(kind)] if typing.get_origin(kind) is typing.Literal else ()


def _range(field: FieldInfo) -> str:
    bounds = {
        name: value
        for item in field.metadata
        for name in ("ge", "gt", "le", "lt")
        if (value := getattr(item, name, None)) is not None and abs(value) < _MOST
    }
    low, above, high, below = (bounds.get(name) for name in ("ge", "gt", "le", "lt"))
    if low is not None and high is not None:
        return f" from {_number(low)} to {_number(high)}"
    if above is not None and below is not None:
        return f" between {_number(above)} and {_number(below)}"
    if above is not None and high is not None:
        return f" above {_number(above)} and at most {_number(high)}"
    words = (("of at least", low), ("above", above), ("of at most", high), ("below", below))
    return next((f" {word} {_number(value)}" for word, value in words if value is not None), "")


def _is_beyond_words(context: dict[str, Any]) -> bool:
    return any(abs(context[name]) >= _MOST for name in ("ge", "gt", "le", "lt") if name in context)


def _number(value: Any) -> str:
    return f"{value:,}"


def _repeated(given: Any) -> str:
    text = repr(given)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _guess(given: Any, field: FieldInfo | None) -> str:
    choices = _choices(_kind_of(field.annotation)[0]) if field is not None else ()
    close = difflib.get_close_matches(str(given), choices, n=1)
    return f" (did you mean {close[0]}?)" if close else ""
