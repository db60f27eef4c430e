"""The shape and the bounds of each frame from a REPL to its supervisor, and from a supervisor to the host.

Both sides of the wall check the same table. A compromised supervisor can therefore do no more than a compromised
REPL: report wrong facts about its own cell.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from .wire import PIECE_CHARS, Frame, WireError

MAX_OUT = 50_000
MAX_MESSAGE = 10_000
MAX_TRACEBACK = 20_000
MAX_ANSWER = 1_000_000
MAX_VARIABLES = 100
MAX_NAME = 100
MAX_REPR = 160
MAX_REPAIRS = 8
MAX_BATCH_PROMPTS = 2_000
MAX_BATCH_CHARS = 20_000_000
MAX_BATCHES = 256
"""The maximum number of batches of one cell that wait at the same time."""

_COUNT = 2**31

Check = Callable[[object], bool]


def text(limit: int) -> Check:
    return lambda value: type(value) is str and len(value) <= limit


def whole(limit: int = _COUNT) -> Check:
    return lambda value: type(value) is int and 0 <= value <= limit


def number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and value >= 0  # type: ignore[arg-type, operator]


def flag(value: object) -> bool:
    return type(value) is bool


def optional(check: Check) -> Check:
    return lambda value: value is None or check(value)


def each(check: Check, *, at_most: int) -> Check:
    return lambda value: type(value) is list and len(value) <= at_most and all(check(one) for one in value)


def row(*checks: Check) -> Check:
    return lambda value: (
        type(value) is list
        and len(value) == len(checks)
        and all(check(value[place]) for place, check in enumerate(checks))
    )


def record(fields: Mapping[str, Check]) -> Check:
    def check(value: object) -> bool:
        return (
            type(value) is dict
            and value.keys() == fields.keys()
            and all(field(value[name]) for name, field in fields.items())
        )

    return check


_ERROR = optional(record({"type": text(MAX_NAME), "message": text(MAX_MESSAGE), "traceback": text(MAX_TRACEBACK)}))
_VARIABLES = each(row(text(MAX_NAME), text(MAX_NAME), text(MAX_NAME), text(MAX_REPR)), at_most=MAX_VARIABLES)
_DONE: dict[str, Check] = {
    "number": whole(),
    "out": optional(text(MAX_OUT)),
    "error": _ERROR,
    "answer": optional(text(PIECE_CHARS)),
    "ready": flag,
    "rebound": text(MAX_NAME),
    "repairs": each(text(MAX_NAME), at_most=MAX_REPAIRS),
    "variables": _VARIABLES,
    "threads": whole(),
}
_BATCH: dict[str, Check] = {
    "batch": whole(),
    "cell": whole(),
    "pieces": each(row(whole(MAX_BATCH_PROMPTS), text(PIECE_CHARS)), at_most=MAX_BATCH_PROMPTS),
    "last": flag,
}
_ANSWER_PIECE: dict[str, Check] = {"text": text(PIECE_CHARS)}
_CANCEL: dict[str, Check] = {"batch": whole()}
_OF: dict[str, Check] = {"repl": whole()}

Shapes = Mapping[str, Check]

FROM_REPL: Shapes = {
    "up": record({}),
    "set": record({}),
    "piece": record(_ANSWER_PIECE),
    "batch": record(_BATCH),
    "cancel": record(_CANCEL),
    "done": record(_DONE),
    "broke": record({"error": text(MAX_MESSAGE)}),
}

FROM_BOX: Shapes = {
    "ready": record(_OF),
    "pong": record({}),
    "set": record({**_OF, "generation": whole()}),
    "stale": record({**_OF, "reason": text(MAX_MESSAGE)}),
    "output": record({**_OF, "text": text(PIECE_CHARS)}),
    "piece": record({**_OF, **_ANSWER_PIECE}),
    "batch": record({**_OF, **_BATCH}),
    "cancel": record({**_OF, **_CANCEL}),
    "done": record(
        {
            **_OF,
            **_DONE,
            "lost": text(MAX_MESSAGE),
            "timed_out": flag,
            "chars": whole(2**53),
            "wall": number,
            "cpu": number,
            "peak": whole(2**53),
            "processes": whole(),
        }
    ),
}


def check(frame: Frame, shapes: Shapes) -> Frame:
    """Returns `frame` if the peer may send it. Raises WireError."""
    shape = shapes.get(frame["t"])
    if shape is None:
        raise WireError(f"no frame of type {frame['t'][:40]!r} is known here")
    if not shape({name: value for name, value in frame.items() if name != "t"}):
        raise WireError(f"a malformed frame of type {frame['t']!r}")
    return frame
