"""Numbers as files write them: counts as floats, times in milliseconds, NaN for unknown values."""

from __future__ import annotations

import math
from typing import Any

from .records import Malformed

_MOST = 2**31 - 1
_MOST_TOKENS = 2**53
_LONGEST = 1e12
"""The longest accepted time, in milliseconds: about thirty years."""


def number(value: Any, *, name: str) -> float | None:
    """Returns a finite number; None for an empty value or NaN. Raises Malformed for anything else."""
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return float(value)
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise Malformed(f"{name} is not a number: {str(value)[:80]!r}") from error
    return found if math.isfinite(found) else None


def count(value: Any, *, name: str) -> int | None:
    """Returns a count, which must be whole and not negative; None if unknown. Raises Malformed."""
    return _whole(value, name=name, most=_MOST)


def tokens(value: Any, *, name: str) -> int | None:
    """Returns a number of tokens; None if unknown. Raises Malformed for a value that cannot be one."""
    return _whole(value, name=name, most=_MOST_TOKENS)


def seconds_of_ms(value: Any, *, name: str) -> float | None:
    """Returns the seconds of a time in milliseconds; None if unknown. Raises Malformed."""
    found = number(value, name=name)
    if found is not None and not 0 <= found <= _LONGEST:
        raise Malformed(f"{name} is no time that a rollout can take: {found:g}")
    return None if found is None else found / 1000


def _whole(value: Any, *, name: str, most: int) -> int | None:
    found = number(value, name=name)
    if found is None:
        return None
    if found != int(found) or not 0 <= found <= most:
        raise Malformed(f"{name} is not a count: {found:g}")
    return int(found)
