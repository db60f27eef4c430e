"""The history of `answer`: each cell that changed it, with its content before and after."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ...models import Execution, Trajectory
from ...models.texts import digest
from ..transcripts import EMPTY, Excerpt, excerpts

_CHARS = 20_000
_NO_ANSWER = digest("")


@dataclass(frozen=True)
class AnswerEdit:
    """One change. `turn` and `cell` count from 1; `became_ready` is true for the cell that declared the answer
    ready.
    """

    turn: int
    cell: int
    before: Excerpt
    after: Excerpt
    became_ready: bool
    seconds: float | None
    """Seconds from the start of the conversation to the end of the cell; None without times."""


def read(trajectory: Trajectory) -> tuple[AnswerEdit, ...]:
    """Returns the changes of a conversation's `answer` in order. Two queries."""
    rows = (
        Execution.objects.filter(turn__trajectory=trajectory, kind=Execution.Kind.CELL, finished=True)
        .order_by("turn__index", "position")
        .values_list("turn__index", "answer_id", "ready", "started_at", "seconds")
    )
    changes = list(_changes(rows))
    texts = excerpts({key for change in changes for key in change[2:4] if key}, chars=_CHARS)
    return tuple(
        AnswerEdit(
            turn=turn + 1,
            cell=cell,
            before=texts.get(before or "", EMPTY),
            after=texts.get(after, EMPTY),
            became_ready=became_ready,
            seconds=None if seconds is None else (started_at - trajectory.started_at).total_seconds() + seconds,
        )
        for turn, cell, before, after, became_ready, started_at, seconds in changes
    )


def _changes(rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    before: str | None = None
    was_ready = False
    for cell, (turn, after, ready, started_at, seconds) in enumerate(rows, start=1):
        if after is None:
            continue
        is_first_empty = before is None and after == _NO_ANSWER
        if (after != before and not is_first_empty) or (ready and not was_ready):
            yield turn, cell, before, after, bool(ready) and not was_ready, started_at, seconds
        before, was_ready = after, bool(ready)
