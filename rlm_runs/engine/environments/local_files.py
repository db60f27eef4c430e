"""Rows of a local JSONL or CSV file, each with its line number, so that an error can name the line.

Rows of a dataset on the Hugging Face hub (`hub.py`) have the same form.
"""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from .base import DataError

T = TypeVar("T")

csv.field_size_limit(1 << 30)


@dataclass(frozen=True)
class Row:
    """One record of a file or a dataset. For a dataset, `path` is its name and `unit` is "row"."""

    path: Path
    line: int
    columns: dict[str, Any]
    unit: str = "line"

    def text(self, column: str) -> str:
        """Returns the column as text. Raises DataError if it is missing or empty."""
        value = self.columns.get(column)
        if value is None:
            have = ", ".join(map(str, self.columns)) or "none"
            raise self.error(f"has no column {column!r} (it has: {have})")
        if not str(value).strip():
            raise self.error(f"has an empty column {column!r}")
        return str(value)

    def error(self, problem: str) -> DataError:
        """Returns an error that names the file and the line."""
        return DataError(f"{self.path}, {self.unit} {self.line} {problem}")


def read_rows(path: str | Path) -> list[Row]:
    """Returns all rows of the file. `.csv` is read as CSV with a header, anything else as JSONL."""
    path = Path(path).expanduser()
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise DataError(f"{path} {what}. Set `path` to a JSONL or CSV file that this machine can read.")
    try:
        rows = list(_csv_rows(path) if path.suffix == ".csv" else _jsonl_rows(path))
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text ({error.reason} at byte {error.start}).") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    if not rows:
        raise DataError(f"{path} has no rows.")
    return rows


def sample(rows: Sequence[T], *, n: int, seed: int, source: str) -> list[T]:
    """Returns a uniformly random subset. The subset for a smaller `n` is a prefix of that for a larger one."""
    if n > len(rows):
        raise DataError(f"{n} examples are asked for, and {source} has {len(rows)}.")
    return random.Random(f"sample|{seed}").sample(list(rows), len(rows))[:n]


def _jsonl_rows(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{path}, line {number} is not JSON: {error}") from error
            if not isinstance(record, dict):
                raise DataError(f"{path}, line {number} is not a JSON object.")
            yield Row(path=path, line=number, columns=record)


def _csv_rows(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        line = 2
        try:
            for record in reader:
                columns = {k: v for k, v in record.items() if k is not None and v is not None}
                yield Row(path=path, line=line, columns=columns)
                line = reader.line_num + 1
        except csv.Error as error:
            raise DataError(f"{path}, line {line} is not CSV: {error}") from error
