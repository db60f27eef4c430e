"""The records of an import: arms, examples, rollouts, and errors with their place in the file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ..engine.events import Event


class Unreadable(Exception):
    """A file does not follow its format. `line` counts from 1; 0 is the file as a whole."""

    def __init__(self, path: Path, reason: str, *, line: int = 0) -> None:
        where = f"{path}, line {line}" if line else str(path)
        super().__init__(f"{where}: {reason}")
        self.path = path
        self.line = line
        self.reason = reason


_DEEPEST = 100
"""The maximum nesting of a JSON value, because recursive functions read, store and show it."""
_TOO_DEEP = f"it is nested more than {_DEEPEST} levels deep"


class Malformed(Exception):
    """A row that breaks its format. The reader of the file adds the line."""


@dataclass(frozen=True)
class ImportedArm:
    """The settings of a rollout, as far as the file has them. An empty string means unknown."""

    environment: str
    environment_settings: Mapping[str, Any]
    scaffold: str
    scaffold_settings: Mapping[str, Any]
    model: str
    sub_model: str = ""
    judge_model: str = ""
    endpoint: str = ""
    sampling: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ImportedExample:
    """An example. Two examples with the same prompt and gold answer are the same.

    `key` is its number in the file. The same question under another key is another example of the dataset; under
    the same key it is a repetition. `metadata` holds keys by which figures can group.
    """

    key: str
    prompt: str
    answer: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ImportedRollout:
    """One rollout of a file: its events, from RolloutStarted to RolloutEnded."""

    line: int
    arm: ImportedArm
    example: ImportedExample
    events: Iterable[Event]


class Source(Protocol):
    """A file or folder that can be imported."""

    @property
    def format(self) -> str:
        """The name of its format."""

    @property
    def path(self) -> Path:
        """The file with the rollouts."""

    def about(self) -> Mapping[str, Any]:
        """Returns facts about the run besides its arms: dates, selection of examples, published means."""

    def rollouts(self) -> Iterator[ImportedRollout]:
        """Yields the rollouts one after the other. Raises Unreadable."""


def sha256_of(path: Path) -> str:
    """Returns the SHA-256 of a file in hex, without reading the file into memory as a whole."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields the objects of a JSON Lines file, each with its line number. Raises Unreadable.

    NaN and Infinity are accepted, because Python writes them. Empty lines are skipped.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, _object(path, line, number)


def json_file(path: Path) -> dict[str, Any]:
    """Returns the object in a JSON file. Raises Unreadable."""
    try:
        return _object(path, path.read_bytes(), 0)
    except OSError as error:
        raise Unreadable(path, error.strerror or str(error)) from error


def json_value(text: str) -> Any:
    """Returns the value of a JSON text. Raises ValueError for invalid or too deeply nested text."""
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    level = [value]
    for _ in range(_DEEPEST):
        level = [item for each in level for item in _items(each) if isinstance(item, dict | list)]
        if not level:
            return value
    raise ValueError(_TOO_DEEP)


def _items(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _object(path: Path, raw: bytes, number: int) -> dict[str, Any]:
    try:
        value = json_value(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise Unreadable(path, f"not UTF-8 text (byte {error.start + 1} of the line)", line=number) from error
    except json.JSONDecodeError as error:
        line = number or error.lineno
        reason = f"not valid JSON: {error.msg} at character {error.colno}"
        raise Unreadable(path, reason, line=line) from error
    except ValueError as error:
        raise Unreadable(path, f"not valid JSON: {error}", line=number) from error
    if not isinstance(value, dict):
        raise Unreadable(path, f"a JSON object is expected, not {type(value).__name__}", line=number)
    return value
