"""Search in the texts of one attempt: messages of models, code, outputs, and prompts of sub-LLMs."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

from ...models import Execution, Rollout, Trajectory, Turn
from ..transcripts import code_of, excerpts

MOST_MATCHES = 200
_SECONDS = 1.0
"""The time limit of one search, in seconds. A result that reaches it is marked as partial."""
_CHARS = 500_000
"""Characters searched per text."""
_TEXTS = 200
"""Texts read at once."""
_AROUND = 60


@dataclass(frozen=True)
class Match:
    """The first occurrence of the words in a text, with its context.

    `turn` is the number of the root's turn, from 1, or None in a sub-LLM's conversation, which `trajectory` names.
    """

    part: str
    turn: int | None
    trajectory: int
    before: str
    hit: str
    after: str


@dataclass(frozen=True)
class Found:
    """Matches in the order of the rollout, the root's first. `is_partial` says that not all texts were
    searched.
    """

    matches: tuple[Match, ...]
    is_partial: bool


@dataclass(frozen=True)
class _Place:
    digest: str
    part: str
    turn: int | None
    trajectory: int


def search(rollout: Rollout, words: str, *, attempt: int) -> Found:
    """Returns the texts that contain the words, ignoring case. Each text counts once, at its first place."""
    until = time.monotonic() + _SECONDS
    found: list[Match] = []
    if not words.strip():
        return Found((), is_partial=False)
    sought = re.compile(re.escape(words.strip()), re.IGNORECASE)
    seen: set[str] = set()
    waiting: list[_Place] = []
    for place in _places(rollout, attempt=attempt):
        if place.digest not in seen:
            seen.add(place.digest)
            waiting.append(place)
        if len(waiting) == _TEXTS:
            found += _matches(waiting, sought)
            waiting = []
            if len(found) >= MOST_MATCHES or time.monotonic() > until:
                return Found(tuple(found[:MOST_MATCHES]), is_partial=True)
    found += _matches(waiting, sought)
    return Found(tuple(found[:MOST_MATCHES]), is_partial=len(found) > MOST_MATCHES)


def _matches(places: list[_Place], sought: re.Pattern[str]) -> Iterator[Match]:
    texts = excerpts({place.digest for place in places}, chars=_CHARS)
    for place in places:
        excerpt = texts.get(place.digest)
        if excerpt is None:
            continue
        text = code_of(excerpt)[0].text if place.part == "code" else excerpt.text
        if hit := sought.search(text):
            before = text[max(hit.start() - _AROUND, 0) : hit.start()].rsplit("\n", 1)[-1]
            after = text[hit.end() : hit.end() + _AROUND].split("\n", 1)[0]
            yield Match(place.part, place.turn, place.trajectory, before, hit[0], after)


def _places(rollout: Rollout, *, attempt: int) -> Iterator[_Place]:
    kinds = (Trajectory.Kind.ROOT, Trajectory.Kind.SUB)
    for kind in kinds:
        of_kind = {"trajectory__rollout": rollout, "trajectory__attempt": attempt, "trajectory__kind": kind}
        is_root = kind == Trajectory.Kind.ROOT
        rows = rollout.trajectories.filter(attempt=attempt, kind=kind).order_by("id")
        for pk, opening in rows.values_list("pk", "opening").iterator():
            for message in opening:
                if message["role"] != "system":
                    yield _Place(message["text"], "prompt", 1 if is_root else None, pk)
        turns = Turn.objects.filter(**of_kind).order_by("trajectory_id", "index")
        columns = ("trajectory_id", "index", "content_id", "reasoning_id", "reply_id")
        for pk, index, *digests in turns.values_list(*columns).iterator():
            number = index + 1 if is_root else None
            parts = zip(("message", "reasoning", "reply"), digests, strict=True)
            yield from (_Place(digest, part, number, pk) for part, digest in parts if digest)
        cells = Execution.objects.filter(**{f"turn__{name}": value for name, value in of_kind.items()})
        columns = ("turn__trajectory_id", "turn__index", "arguments_id", "output_id", "answer_id")
        for pk, index, *digests in cells.order_by("turn", "position").values_list(*columns).iterator():
            number = index + 1 if is_root else None
            parts = zip(("code", "output", "answer"), digests, strict=True)
            yield from (_Place(digest, part, number, pk) for part, digest in parts if digest)
