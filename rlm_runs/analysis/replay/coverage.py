"""Input coverage: the ranges of the input data that were printed, and those that went into sub-LLM prompts.

Lines are looked up in an index of the input's lines. A line that occurs several times is matched to the place
after the previous match, else to its first place. Part of a line is searched as it is. Text that a model rewrote,
or that code only computed with, is not found.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from ...engine.environments.base import Example as EngineExample
from ...engine.environments.registry import REGISTRY
from ...models import Execution, Rollout, Text, Trajectory

_SECONDS = 1.5
"""The time limit of one computation, in seconds. A result that reaches it is marked as partial."""
_MOST_CHARS = 20_000_000
"""Characters of prompts that one computation reads."""
_PIECE = 20
"""The minimum length of a part of a line that is searched, in characters."""

Range = tuple[int, int]
"""Start (inclusive) and end (exclusive), in characters of the input."""


@dataclass(frozen=True)
class Coverage:
    """Ranges of the input, in order and without overlap. `is_partial` says that the time limit cut the computation
    off.
    """

    chars: int
    printed: tuple[Range, ...]
    prompted: tuple[Range, ...]
    unread: tuple[Range, ...]
    evidence: tuple[Range, ...]
    is_partial: bool

    def share(self, ranges: Sequence[Range]) -> float:
        """Returns the share of the input that the ranges cover, from 0 to 1."""
        return sum(end - begin for begin, end in ranges) / self.chars if self.chars else 0.0

    @property
    def missed_evidence(self) -> tuple[Range, ...]:
        """Ranges of the evidence that were not read at all."""
        return tuple(
            each
            for each in self.evidence
            if any(begin <= each[0] and each[1] <= end for begin, end in self.unread)
        )


def read(rollout: Rollout, *, attempt: int) -> tuple[Coverage, str] | None:
    """Returns the coverage of a rollout's input data, and the data; None if the example has none."""
    example = rollout.example
    if example.input_data_id is None:
        return None
    texts = Text.objects.read([example.input_data_id, example.prompt_id, example.answer_id])
    data = texts[example.input_data_id]
    finder = _Finder(data, until=time.monotonic() + _SECONDS)
    printed = finder.ranges(_outputs(rollout, attempt=attempt))
    prompted = finder.ranges(_prompts(rollout, attempt=attempt))
    whole = EngineExample(texts[example.prompt_id], texts[example.answer_id], example.metadata, data)
    return (
        Coverage(
            chars=len(data),
            printed=printed,
            prompted=prompted,
            unread=_gaps(_merge([*printed, *prompted]), len(data)),
            evidence=_merge(_evidence(rollout, whole)),
            is_partial=finder.is_partial,
        ),
        data,
    )


def _outputs(rollout: Rollout, *, attempt: int) -> Iterable[str]:
    rows = Execution.objects.filter(
        turn__trajectory__rollout=rollout,
        turn__trajectory__attempt=attempt,
        turn__trajectory__kind=Trajectory.Kind.ROOT,
        shown__isnull=False,
    )
    return _texts(rows.order_by("turn__index", "position").values_list("shown_id", flat=True))


def _prompts(rollout: Rollout, *, attempt: int) -> Iterable[str]:
    rows = rollout.trajectories.filter(attempt=attempt, kind=Trajectory.Kind.SUB).order_by(
        "parent", "batch", "position"
    )
    return _texts(
        message["text"]
        for opening in rows.values_list("opening", flat=True)
        for message in opening
        if message["role"] == "user"
    )


def _texts(digests: Iterable[str]) -> Iterable[str]:
    """Yields the texts in small batches, up to a limit on their total length."""
    wanted = list(dict.fromkeys(digests))
    left = _MOST_CHARS
    for start in range(0, len(wanted), 100):
        for text in Text.objects.read(wanted[start : start + 100]).values():
            left -= len(text)
            if left < 0:
                return
            yield text


def _evidence(rollout: Rollout, example: EngineExample) -> Sequence[Range]:
    environment = REGISTRY.get(rollout.arm.environment)
    if environment is None:
        return ()
    try:
        settings = environment.settings_type(**rollout.arm.environment_settings)
        return environment(settings).evidence(example)
    except ValueError:  # settings of an older version, or of an import
        return ()


@dataclass
class _Finder:
    data: str
    until: float
    is_partial: bool = False
    lines: list[str] = field(init=False)
    starts: list[int] = field(init=False)
    places: dict[str, list[int]] = field(init=False)

    def __post_init__(self) -> None:
        self.lines = self.data.split("\n")
        self.starts, at = [], 0
        self.places = {}
        for number, line in enumerate(self.lines):
            self.starts.append(at)
            at += len(line) + 1
            if line.strip():
                self.places.setdefault(line, []).append(number)

    def ranges(self, texts: Iterable[str]) -> tuple[Range, ...]:
        found: list[Range] = []
        for text in texts:
            if time.monotonic() > self.until:
                self.is_partial = True
                break
            found += self._in_text(text)
        return _merge(found)

    def _in_text(self, text: str) -> Iterable[Range]:
        expected = -1
        for line in text.split("\n"):
            places = self.places.get(line)
            if places is not None:
                number = expected if expected < len(self.lines) and expected in places[:50] else places[0]
                if 0 <= expected < len(self.lines) and self.lines[expected] == line:
                    number = expected
                expected = number + 1
                yield self.starts[number], self.starts[number] + len(line)
            elif len(line) >= _PIECE and time.monotonic() < self.until:
                yield from self._piece(line)

    def _piece(self, line: str) -> Iterable[Range]:
        """Returns the place of the line within a longer one, or of a longer part of it within the input."""
        at = self.data.find(line)
        if at >= 0:
            yield at, at + len(line)
            return
        for begin in (0, (len(line) - _PIECE) // 2, len(line) - _PIECE):
            anchor = line[begin : begin + _PIECE]
            at = self.data.find(anchor)
            if at >= 0:
                yield self._extend_match(line, begin, at)
                return

    def _extend_match(self, line: str, begin: int, at: int) -> Range:
        first, place = begin, at
        while first and place and line[first - 1] == self.data[place - 1]:
            first, place = first - 1, place - 1
        last, end = begin + _PIECE, at + _PIECE
        while last < len(line) and end < len(self.data) and line[last] == self.data[end]:
            last, end = last + 1, end + 1
        return place, end


def _merge(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """Returns the union. Ranges separated only by a line end are merged."""
    found: list[Range] = []
    for begin, end in sorted(ranges):
        if found and begin <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((begin, end))
    return tuple(found)


def _gaps(ranges: Sequence[Range], chars: int) -> tuple[Range, ...]:
    edges = [(0, 0), *ranges, (chars, chars)]
    return tuple((end, begin) for (_, end), (begin, _) in pairwise(edges) if begin - end > 1)
