"""Rows of a trace on their way into the store: many of a kind in one statement, and safe to write again.

The ORM writes a statement per row and event. Here the rows of several events, and of several rollouts, share
statements. Each row has its primary key before it is written, so that children can name their parents and a
statement that is repeated after a broken connection changes nothing.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from django.db import connection
from django.db.models import Model
from psycopg.types.json import Jsonb

from ..models import Execution, Text, Trajectory, Turn
from ..models.texts import SHARE_TEXTS, escape
from .patience import patiently

Row = dict[str, Any]
"""Column → value, as psycopg takes it."""

_BLOCK = 256
"""Primary keys that a process takes from a sequence at a time."""
_MOST_PARAMETERS = 30_000
"""Parameters of one statement; the protocol allows 65,535."""


class Keys:
    """Primary keys of a table, taken from its sequence in blocks. Thread-safe; a forked process takes its own."""

    def __init__(self, model: type[Model]) -> None:
        self._sequence = f"{model._meta.db_table}_id_seq"
        self._lock = threading.Lock()
        self._keys: list[int] = []
        self._owner: tuple[int, str] | None = None

    def next(self) -> int:
        """Returns a key that no other row has or gets. Waits for a database that is away."""
        with self._lock:
            owner = (os.getpid(), str(connection.settings_dict["NAME"]))
            if not self._keys or self._owner != owner:
                self._keys = patiently(self._take_block)
                self._owner = owner
            return self._keys.pop()

    def _take_block(self) -> list[int]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT nextval(%s) FROM generate_series(1, %s)", [self._sequence, _BLOCK])
            return [row[0] for row in reversed(cursor.fetchall())]


TRAJECTORY_KEYS, TURN_KEYS, EXECUTION_KEYS = Keys(Trajectory), Keys(Turn), Keys(Execution)


class PendingRows:
    """Rows and changes that are not written yet. `merge` adds those of another rollout."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.models: dict[int, str] = {}
        """Turn → the model that was called."""
        self.inserts: dict[type[Model], dict[int, Row]] = {Trajectory: {}, Turn: {}, Execution: {}}
        self.updates: dict[type[Model], dict[int, Row]] = {Trajectory: {}, Execution: {}}

    def insert(self, model: type[Model], row: Row) -> None:
        """Adds a row, which has its `id`."""
        self.inserts[model][row["id"]] = row

    def update(self, model: type[Model], key: int, changes: Row) -> None:
        """Changes columns of a row, whether it is written already or not."""
        if (row := self.inserts[model].get(key)) is not None:
            row.update(changes)
        else:
            self.updates[model].setdefault(key, {}).update(changes)

    def merge(self, other: PendingRows) -> None:
        """Adds the rows and changes of another rollout."""
        self.texts |= other.texts
        self.models |= other.models
        for model, rows in other.inserts.items():
            self.inserts[model] |= rows
        for model, rows in other.updates.items():
            self.updates[model] |= rows

    def clear(self) -> None:
        """Forgets everything, after it is written."""
        self.__init__()  # type: ignore[misc]

    def write(self) -> set[int]:
        """Writes everything, and returns the ids of the turns that were not there before.

        Foreign keys are checked at the end of the transaction, so the order is free.
        """
        with connection.cursor() as wrapper:
            assert isinstance(wrapper.connection, psycopg.Connection)
            cursor = psycopg.Cursor(wrapper.connection)  # binds on the server, which is faster than in Python
            if self.texts:
                cursor.execute(SHARE_TEXTS)
            _insert(cursor, Text._meta.db_table, _text_rows(self.texts), key="sha256")
            written = {
                model: _insert(cursor, model._meta.db_table, list(rows.values()), key="id")
                for model, rows in self.inserts.items()
            }
            for model, changes in self.updates.items():
                _update(cursor, model._meta.db_table, changes)
        return written[Turn]


def _text_rows(texts: Mapping[str, str]) -> list[Row]:
    """Sorted, so that two writers of the same texts lock them in the same order."""
    return [
        {"sha256": bytes.fromhex(key), "body": escape(body), "chars": len(body)}
        for key, body in sorted(texts.items())
    ]


def _insert(cursor: psycopg.Cursor[Any], table: str, rows: Sequence[Row], *, key: str) -> set[Any]:
    """Inserts rows that have the same columns; those whose key exists are left as they are.

    Returns the keys of the new rows.
    """
    if not rows:
        return set()
    inserted: set[Any] = set()
    columns = list(rows[0])
    size = max(1, _MOST_PARAMETERS // len(columns))
    names = ", ".join(f'"{name}"' for name in columns)
    one = f"({', '.join(['%s'] * len(columns))})"
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        values = ", ".join([one] * len(part))
        statement = (
            f'INSERT INTO "{table}" ({names}) VALUES {values} ON CONFLICT ("{key}") DO NOTHING RETURNING "{key}"'
        )
        cursor.execute(statement.encode(), [row[name] for row in part for name in columns])
        inserted.update(found for (found,) in cursor)
    return inserted


def _update(cursor: psycopg.Cursor[Any], table: str, changes: Mapping[int, Row]) -> None:
    """A statement per set of columns, one execution per row, all in one round trip."""
    by_columns: dict[tuple[str, ...], list[list[Any]]] = {}
    for key, row in changes.items():
        by_columns.setdefault(tuple(row), []).append([*row.values(), key])
    for columns, parameters in by_columns.items():
        assignments = ", ".join(f'"{name}" = %s' for name in columns)
        cursor.executemany(f'UPDATE "{table}" SET {assignments} WHERE id = %s'.encode(), parameters)


def json_column(value: Any) -> Jsonb:
    """A value for a JSONB column. Its strings must be escaped already (`storable`)."""
    return Jsonb(value)


def digest_column(digest: str | None) -> bytes | None:
    """A text's digest for a column that refers to it."""
    return None if digest is None else bytes.fromhex(digest)
