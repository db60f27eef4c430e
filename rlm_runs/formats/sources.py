"""The run folders and tables under a path that can be imported."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from .metrics_csv import MetricsCsv, is_metrics_csv
from .records import Source, Unreadable
from .verifiers_v0 import RESULTS, VerifiersV0


def find_sources(path: Path, *, environment: str = "") -> list[Source]:
    """Returns all sources at a path, sorted by name. Raises Unreadable if there is none.

    `environment` is used for tables that do not name theirs.
    """
    if not path.exists():
        raise Unreadable(path, "there is no such file or folder")
    found = [source for file in _files(path) if (source := _source(file, environment)) is not None]
    if not found:
        what = "it holds neither run folders (results.jsonl with metadata.json) nor tables of metrics (CSV)"
        raise Unreadable(path, what if path.is_dir() else "it is in no format that can be imported")
    return found


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for folder, folders, files in os.walk(path):
        folders.sort()
        yield from (Path(folder) / name for name in sorted(files))


def _source(path: Path, environment: str) -> Source | None:
    if path.exists() and not path.is_file():  # a pipe or a device would block its reader
        return None
    if path.name == RESULTS:
        return VerifiersV0(path)
    if path.suffix.lower() == ".csv" and is_metrics_csv(path):
        return MetricsCsv(path, environment)
    return None
