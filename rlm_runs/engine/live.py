"""The state of a rollout at this moment: the text of its model's turn so far, and the output of its cell so far.

Parts of the rollout write it; another thread reads it (`LiveBoard.state`). It is not stored: the turn and the cell
are stored when they end. Sub-LLMs are only counted.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sandbox.contract import Batch

KEPT_CHARS = 20_000
"""The maximum length of a growing text, in characters. Of a longer one, the end is kept."""


class GrowingText:
    """The end of a growing text. One thread writes, others read."""

    def __init__(self) -> None:
        self.chars = 0
        self._pieces: deque[str] = deque()
        self._kept = 0

    def add(self, piece: str) -> None:
        """Adds a piece, and drops pieces that are too far from the end."""
        self.chars += len(piece)
        self._kept += len(piece)
        self._pieces.append(piece[-KEPT_CHARS:])
        while len(self._pieces) > 1 and self._kept - len(self._pieces[0]) >= KEPT_CHARS:
            self._kept -= len(self._pieces.popleft())

    def end(self) -> str:
        """Returns the last KEPT_CHARS characters."""
        return "".join(list(self._pieces))[-KEPT_CHARS:]


@dataclass
class TurnSoFar:
    """A model call in flight. `index` counts the turns of the conversation, from 0."""

    kind: str
    index: int
    began: float = field(default_factory=time.monotonic)
    content: GrowingText = field(default_factory=GrowingText)
    reasoning: GrowingText = field(default_factory=GrowingText)
    arguments: GrowingText = field(default_factory=GrowingText)

    def restart(self) -> None:
        """Discards the text so far, because another try begins."""
        self.content, self.reasoning, self.arguments = GrowingText(), GrowingText(), GrowingText()

    def add(self, *, content: str = "", reasoning: str = "", arguments: str = "") -> None:
        """Adds the pieces that arrived."""
        for text, piece in ((self.content, content), (self.reasoning, reasoning), (self.arguments, arguments)):
            if piece:
                text.add(piece)


@dataclass
class CellSoFar:
    """A running cell. `key` is that of its execution."""

    key: int
    began: float = field(default_factory=time.monotonic)
    output: GrowingText = field(default_factory=GrowingText)
    batches: list[Batch] = field(default_factory=list)


class LiveBoard:
    """The state of one rollout's root conversation, or of its judge's. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turn: TurnSoFar | None = None
        self._cell: CellSoFar | None = None

    @contextmanager
    def turn(self, kind: str, index: int) -> Iterator[TurnSoFar]:
        """Shows a model call for the duration of the block."""
        turn = TurnSoFar(kind, index)
        with self._lock:
            self._turn = turn
        try:
            yield turn
        finally:
            with self._lock:
                self._turn = None

    @contextmanager
    def cell(self, key: int) -> Iterator[CellSoFar]:
        """Shows a running cell for the duration of the block."""
        cell = CellSoFar(key)
        with self._lock:
            self._cell = cell
        try:
            yield cell
        finally:
            with self._lock:
                self._cell = None

    def state(self) -> dict[str, Any]:
        """Returns the work in progress as JSON values; {} if there is none."""
        with self._lock:
            turn, cell = self._turn, self._cell
        now = time.monotonic()
        state: dict[str, Any] = {}
        if turn is not None:
            state["turn"] = {
                "kind": turn.kind,
                "index": turn.index,
                "seconds": round(now - turn.began, 1),
                **{
                    name: {"chars": text.chars, "end": text.end()}
                    for name, text in (
                        ("content", turn.content),
                        ("reasoning", turn.reasoning),
                        ("arguments", turn.arguments),
                    )
                    if text.chars
                },
            }
        if cell is not None:
            state["cell"] = {
                "key": cell.key,
                "seconds": round(now - cell.began, 1),
                "output": {"chars": cell.output.chars, "end": cell.output.end()},
                "calls": sum(len(batch.prompts) for batch in cell.batches),
                "answered": sum(batch.answered for batch in cell.batches),
            }
        return state
