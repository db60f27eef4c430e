"""Rollouts as columns, the input of figures, comparisons and statistics.

A frame is read in one query, by a binary COPY whose rows all have the same size, so that numpy reads them without
conversion. A hundred thousand rollouts cost no more than the database needs to send them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from django.db import connection
from numpy.typing import NDArray

from .measures import Measure

_HEADER = 19
"""Bytes before the first row: signature, flags, and the length of the missing extension."""
_KEYS = {
    "rollout": "r.id",
    "arm": "r.arm_id",
    "example": "r.example_id",
    "position": "r.example_position",
    "repetition": "r.repetition",
}


class Outcome(IntEnum):
    """The outcome of a rollout. One that ended without a reward is classified by the reason."""

    SCORED = 0
    TOO_LONG = 1
    UNJUDGED = 2
    FAILED = 3
    CANCELLED = 4
    UNFINISHED = 5


ENDED_UNSCORED = (Outcome.TOO_LONG, Outcome.UNJUDGED, Outcome.FAILED)
"""Outcomes of rollouts that ran and have no reward, to which the treatment of unscored rollouts applies."""

_OUTCOME = f"""
CASE WHEN r.status IN ('queued', 'running') THEN {Outcome.UNFINISHED:d}
     WHEN r.status = 'cancelled' THEN {Outcome.CANCELLED:d}
     WHEN r.reward IS NOT NULL THEN {Outcome.SCORED:d}
     WHEN r.stop_reason = 'prompt_too_long' THEN {Outcome.TOO_LONG:d}
     WHEN r.stop_reason = 'unjudged' THEN {Outcome.UNJUDGED:d}
     ELSE {Outcome.FAILED:d} END
"""


@dataclass(frozen=True)
class Frame:
    """Columns with an entry per rollout: `rollout`, `arm`, `example`, `position`, `repetition` and `outcome` as
    int64, measures by name as float64 with NaN for unknown values. Sorted by arm, example and repetition.
    """

    columns: Mapping[str, NDArray[Any]]

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.columns[name]

    def __len__(self) -> int:
        return len(self.columns["rollout"])

    def where(self, mask: NDArray[np.bool_]) -> Frame:
        """Returns the rollouts for which the mask is true."""
        return Frame({name: column[mask] for name, column in self.columns.items()})

    def with_column(self, name: str, values: NDArray[Any]) -> Frame:
        """Returns the same rollouts with one column added or replaced."""
        return Frame({**self.columns, name: values})


def load(arms: Iterable[int], *, measures: Sequence[Measure]) -> Frame:
    """Returns the rollouts of these arms (ids), in any state, with these measures. One query."""
    return _read("r.arm_id = ANY(%s)", sorted(set(arms)), measures=measures)


def refresh(frame: Frame, *, unfinished: Sequence[int], measures: Sequence[Measure]) -> Frame | None:
    """Returns the frame updated with the rollouts that ended since it was read. One query.

    Returns None if more happened: rollouts were added, removed or restarted.
    """
    were = frame["rollout"][frame["outcome"] == Outcome.UNFINISHED]
    are = np.asarray(unfinished, dtype=np.int64)
    ended = np.setdiff1d(were, are, assume_unique=True)
    fresh = _read("r.id = ANY(%s)", ended.tolist(), measures=measures)
    if len(are) + len(ended) != len(were) or len(fresh) != len(ended):
        return None
    places = np.isin(frame["rollout"], ended)  # both are in the order of arm, example and repetition
    columns = {name: column.copy() for name, column in frame.columns.items()}
    for name, column in columns.items():
        column[places] = fresh[name]
    return Frame(columns)


def _read(condition: str, ids: Sequence[int], *, measures: Sequence[Measure]) -> Frame:
    keys = {**_KEYS, "outcome": _OUTCOME}
    selected = [f"({sql})::int8" for sql in keys.values()]
    selected += [f"coalesce(({measure.sql})::float8, 'NaN')" for measure in measures]
    statement = (
        f"SELECT {', '.join(selected)} FROM rlm_runs_rollout r"
        f" WHERE {condition} ORDER BY r.arm_id, r.example_id, r.repetition"
    )
    types = [(name, ">i8") for name in keys] + [(measure.name, ">f8") for measure in measures]
    return Frame(_columns(_copied(statement, [list(ids)]), types))


def example_values(examples: Iterable[int], key: str) -> dict[int, Any]:
    """Returns a map of example id → its metadata under `key`, for examples that have it. One query."""
    statement = "SELECT id, metadata -> %s FROM rlm_runs_example WHERE id = ANY(%s) AND metadata ? %s"
    with connection.cursor() as cursor:
        cursor.execute(statement, [key, list(examples), key])
        return {example: json.loads(value) for example, value in cursor.fetchall()}


def _copied(statement: str, parameters: Sequence[Any]) -> bytes:
    with connection.cursor() as cursor:
        bound = cursor.mogrify(statement, parameters)  # COPY takes no parameters
        with cursor.copy(f"COPY ({bound}) TO STDOUT (FORMAT BINARY)") as copy:
            return b"".join(copy)


def _columns(copied: bytes, types: Sequence[tuple[str, str]]) -> dict[str, NDArray[Any]]:
    """Returns the columns of a binary COPY without NULLs.

    Each row starts with its number of fields, and each field with its size.
    """
    row = np.dtype([("fields", ">i2"), *((part, of) for name, of in types for part, of in _field(name, of))])
    rows = np.frombuffer(copied, dtype=row, offset=_HEADER, count=(len(copied) - _HEADER - 2) // row.itemsize)
    return {name: rows[name].astype(kind[1:]) for name, kind in types}


def _field(name: str, kind: str) -> tuple[tuple[str, str], tuple[str, str]]:
    return (f"size of {name}", ">i4"), (name, kind)
