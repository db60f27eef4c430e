"""Tables of counts that many processes write at once.

Each process adds to rows of its own, in the transaction that records what is counted. No two processes wait for
each other, and what is counted is exactly what is stored. The sweep sums the rows of a finished period over
processes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection


@dataclass(frozen=True)
class CountTable:
    """A table with the columns `keys`, `writer`, `sums` and `latest`, unique by `keys` and `writer`.

    `sums` are added up, and of `latest` the greatest value is kept. Rows with an empty writer hold the sums over
    processes.
    """

    name: str
    keys: tuple[str, ...]
    sums: tuple[str, ...]
    latest: tuple[str, ...] = ()

    def add(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Adds rows, each with its values in the order of `keys`, `writer`, `sums` and `latest`."""
        if not rows:
            return
        values = ", ".join([f"({', '.join(['%s'] * len(self._columns))})"] * len(rows))
        with connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO {self.name} AS own ({', '.join(self._columns)}) VALUES {values} {self._on_conflict}",
                [value for row in rows for value in row],
            )

    def fold(self, condition: str, *, periods: Mapping[str, str] | None = None) -> None:
        """Sums the rows that meet an SQL condition over their writers. For one process at a time.

        `periods` gives keys an SQL expression, such as the month of an hour.
        """
        keys = [(periods or {}).get(key, key) for key in self.keys]
        sums = [f"sum({name})" for name in self.sums] + [f"max({name})" for name in self.latest]
        places = ", ".join(str(place) for place in range(1, len(keys) + 1))
        with connection.cursor() as cursor:
            cursor.execute(
                f"""WITH folded AS (DELETE FROM {self.name} WHERE {condition} RETURNING *)
                    INSERT INTO {self.name} AS own ({", ".join(self._columns)})
                    SELECT {", ".join([*keys, "''", *sums])} FROM folded GROUP BY {places} {self._on_conflict}"""
            )

    @property
    def _columns(self) -> list[str]:
        return [*self.keys, "writer", *self.sums, *self.latest]

    @property
    def _on_conflict(self) -> str:
        added = [f"{name} = own.{name} + excluded.{name}" for name in self.sums]
        kept = [f"{name} = greatest(own.{name}, excluded.{name})" for name in self.latest]
        return f"ON CONFLICT ({', '.join([*self.keys, 'writer'])}) DO UPDATE SET {', '.join([*added, *kept])}"
