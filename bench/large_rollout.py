"""The trace of a large rollout: hundreds of cells, thousands of sub-LLM calls, deep recursion, long texts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from rlm_runs.engine import events as e

_BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
_PROSE = "The part of the context between these two lines holds the messages of one user; count them, then go on. "


@dataclass(frozen=True)
class Size:
    """Cells of the root, sub-calls of each cell, the levels below the first, and characters of one long line."""

    cells: int = 200
    calls_per_cell: int = 25
    depth: int = 6
    line: int = 5_000_000


class Trace:
    """The events of one rollout. The cell in the middle prints the long line, and its first call goes deep."""

    def __init__(self, name: str, size: Size) -> None:
        self.name = name
        self.size = size
        self._key = 0
        self._clock = _BEGAN

    def groups(self) -> Iterator[list[e.Event]]:
        """Yields the events in the groups that a worker records."""
        size = self.size
        yield [e.RolloutStarted(at=self._clock, sandbox_backend="docker")]
        root = self._next()
        opening = [e.Message("system", _PROSE * 20), e.Message("user", f"{self.name}: {_PROSE * 8}")]
        yield [e.TrajectoryStarted(key=root, at=self._clock, kind="root", model="demo-model", opening=opening)]
        for turn in range(size.cells):
            is_middle = turn == size.cells // 2
            yield self._turn(root, turn, text=f"{self.name}, turn {turn}: {_PROSE * 4}")
            cell = self._next()
            yield [self._cell(cell, root, turn)]
            for position in range(size.calls_per_cell):
                deep = size.depth if is_middle and not position else 1
                yield from self._call(cell, position=position, depth=1, deepest=deep)
            shown = f"{self.name} {turn}: {_PROSE * 6}"
            output = shown + "x" * (size.line if is_middle else 0)
            yield [self._cell_ended(cell, output=output, shown=shown, answer=f"{turn // 20} users")]
        answer = f"{(size.cells - 1) // 20} users"
        yield [e.TrajectoryEnded(key=root, at=self._clock, stop_reason="answer_ready", answer=answer)]
        yield [e.RolloutEnded(at=self._clock, stop_reason="answer_ready", answer=answer, reward=1.0, metrics={})]

    def _call(self, parent: int, *, position: int, depth: int, deepest: int) -> Iterator[list[e.Event]]:
        call = self._next()
        prompt = [e.Message("user", f"{self.name} {call}: {_PROSE * 10}")]
        yield [
            e.TrajectoryStarted(
                key=call, at=self._clock, kind="sub", model="demo-model", opening=prompt, parent=parent, batch=0,
                position=position, depth=depth,
            )
        ]  # fmt: skip
        answer = f"Part {call} holds {call % 97} messages."
        if depth < deepest:
            yield self._turn(call, 0, text=f"I ask a model of my own: {_PROSE}")
            cell = self._next()
            yield [self._cell(cell, call, 0)]
            yield from self._call(cell, position=0, depth=depth + 1, deepest=deepest)
            yield [self._cell_ended(cell, output=answer, shown=answer, answer=answer)]
            yield self._turn(call, 1, text=answer)
        else:
            yield self._turn(call, 0, text=answer)
        yield [e.TrajectoryEnded(key=call, at=self._clock, stop_reason="final_message", answer=answer)]

    def _turn(self, trajectory: int, index: int, *, text: str) -> list[e.Event]:
        self._clock += timedelta(seconds=0.2)
        raw = {"prompt_tokens": 1200, "completion_tokens": 90, "prompt_tokens_details": {"cached_tokens": 0}}
        return [
            e.TurnEnded(
                trajectory=trajectory, index=index, at=self._clock, seconds=0.2, content=text,
                usage=e.Usage(prompt=1200, completion=90, cached=0, reasoning=0, raw=raw),
                finish_reason="stop", cost=Decimal("0.0004"), price_version="bench",
            )
        ]  # fmt: skip

    def _cell(self, key: int, trajectory: int, turn: int) -> e.ExecutionStarted:
        code = f"part = context[{turn}000:{turn + 1}000]\nfor line in part.splitlines():\n    print(line, {turn})"
        return e.ExecutionStarted(
            key=key, trajectory=trajectory, turn=turn, position=0, at=self._clock, kind="cell",
            name="call_python_repl", call_id=f"call_{key}", arguments=json.dumps({"code": code}),
        )  # fmt: skip

    def _cell_ended(self, key: int, *, output: str, shown: str, answer: str) -> e.ExecutionEnded:
        kept = [{"name": f"part_{key % 30}", "type": "str", "size": "1000", "repr": "'…'"}]
        return e.ExecutionEnded(
            key=key, seconds=0.01, output=output, shown=shown, output_chars=len(output), answer=answer,
            ready=False, variables=kept,
        )  # fmt: skip

    def _next(self) -> int:
        self._key += 1
        return self._key - 1
