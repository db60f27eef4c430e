"""Rows of a trace on their way into the store: batched by table, and safe to write again.

The ORM writes a statement per row and event. Here the rows of several events, and of several rollouts, share
statements. Each row has its primary key before it is written, so that children can name their parents and a
statement that is repeated after a broken connection changes nothing.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any

import psycopg
from django.db import connection
from django.db.models import Model

from ..models import Execution, Text, Trajectory, Turn
from ..models.texts import SHARE_TEXTS, escape
from .patience import patiently

Row = dict[str, Any]
"""Column → its JSON value; times and decimals stay Python objects. Strings are escaped (`escape`, `storable`)."""

_BLOCK = 256
"""The number of primary keys that a process takes from a sequence at a time."""
_MOST_ROWS = 1000
_MOST_CHARS = 8_000_000
"""The maximum size of one statement. The protocol allows a gigabyte."""


class Keys:
    """Primary keys of a table, taken from its sequence in blocks. Thread-safe; a forked process takes its own."""

    def __init__(self, model: type[Model]) -> None:
        self._sequence = f"{model._meta.db_table}_id_seq"
        self._lock = threading.Lock()
        self._keys: list[int] = []
        self._owner: tuple[int, str] | None = None

    def next(self) -> int:
        """Returns a key that no other row has or gets. Waits for an unavailable database."""
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
        self.experiments: dict[int, int] = {}
        """Turn → its experiment."""
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
        self.experiments |= other.experiments
        for model, rows in other.inserts.items():
            self.inserts[model] |= rows
        for model, rows in other.updates.items():
            self.updates[model] |= rows

    def clear(self) -> None:
        """Drops everything, after it is written."""
        self.__init__()  # type: ignore[misc]

    def write(self) -> set[int]:
        """Writes everything. Returns the ids of the new turns.

        Foreign keys are checked at the end of the transaction, so the order does not matter.
        """
        written: dict[type[Model], set[int]] = {model: set() for model in self.inserts}
        with open_cursor() as cursor:
            if self.texts:
                cursor.execute(SHARE_TEXTS)
            for part in _text_parts(self.texts):
                _insert(cursor, Text, part, key="sha256")
            for model, rows in self.inserts.items():
                for part in _parts(list(rows.values())):
                    written[model] |= _insert(cursor, model, part, key="id")
            for model, changes in self.updates.items():
                by_columns: dict[tuple[str, ...], list[Row]] = {}
                for key, row in changes.items():
                    by_columns.setdefault(tuple(row), []).append({"id": key, **row})
                for rows_alike in by_columns.values():
                    for part in _parts(rows_alike):
                        update_rows(cursor, model, part)
        return written[Turn]


@contextmanager
def open_cursor() -> Iterator[psycopg.Cursor[Any]]:
    """Provides a cursor of Django's connection that binds and prepares on the server, which is faster than in
    Python.
    """
    with connection.cursor() as wrapper:
        assert isinstance(wrapper.connection, psycopg.Connection)
        with psycopg.Cursor(wrapper.connection) as cursor:
            yield cursor


def _text_parts(texts: Mapping[str, str]) -> Iterator[Sequence[Row]]:
    """Yields the texts in parts, sorted, so that two writers of the same texts lock them in the same order."""
    part: list[Row] = []
    chars = 0
    for key, body in sorted(texts.items()):
        if part and (chars + len(body) > _MOST_CHARS or len(part) == _MOST_ROWS):
            yield part
            part, chars = [], 0
        part.append({"sha256": digest_column(key), "body": escape(body), "chars": len(body)})
        chars += len(body)
    if part:
        yield part


def _parts(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    for start in range(0, len(rows), _MOST_ROWS):
        yield rows[start : start + _MOST_ROWS]


def _insert(cursor: psycopg.Cursor[Any], model: type[Model], rows: Sequence[Row], *, key: str) -> set[Any]:
    """Inserts rows that have the same columns, and leaves existing keys as they are.

    Returns the keys of the new rows.
    """
    statement = _insert_statement(model._meta.db_table, tuple(rows[0]), key)
    return {key for (key,) in cursor.execute(statement, [_json(rows)])}


def update_rows(cursor: psycopg.Cursor[Any], model: type[Model], rows: Sequence[Row], *, where: str = "") -> int:
    """Updates rows by their `id`; all have the same columns. `where` is a further condition on the old row `r`.

    Returns the number of updated rows.
    """
    statement = _update_statement(model._meta.db_table, tuple(rows[0]), where)
    return cursor.execute(statement, [_json(rows)]).rowcount


# The rows of a statement are one JSON parameter. The statement does not depend on their number, so psycopg
# translates it once, and Python handles no value separately.


@cache
def _insert_statement(table: str, columns: tuple[str, ...], key: str) -> bytes:
    names = ", ".join(f'"{name}"' for name in columns)
    return (
        f'INSERT INTO "{table}" ({names}) SELECT {names} FROM json_populate_recordset(NULL::"{table}", %s::json)'
        f' ON CONFLICT ("{key}") DO NOTHING RETURNING "{key}"'
    ).encode()


@cache
def _update_statement(table: str, columns: tuple[str, ...], where: str) -> bytes:
    assignments = ", ".join(f'"{name}" = n."{name}"' for name in columns if name != "id")
    return (
        f'UPDATE "{table}" r SET {assignments} FROM json_populate_recordset(NULL::"{table}", %s::json) n'
        f" WHERE r.id = n.id {f'AND {where}' if where else ''}"
    ).encode()


def _json(rows: Sequence[Row]) -> str:
    return json.dumps(rows, ensure_ascii=False, check_circular=False, default=_as_json)


def _as_json(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"no column holds {value!r}")


def digest_column(digest: str | None) -> str | None:
    """Returns a text's digest for a column that refers to it."""
    return None if digest is None else f"\\x{digest}"
