"""Converts a dialogue to the events of a rollout's root: its cells, their outputs, and their sub-LLM calls.

A call of a Python tool with code is a cell. The file has no times of turns, so only cells that state their run
time move the clock.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from ..engine.events import (
    Event,
    ExecutionEnded,
    ExecutionStarted,
    ToolCall,
    TrajectoryEnded,
    TrajectoryStarted,
    TurnEnded,
)
from .answer_writes import NOTHING, AnswerWrites, answer_writes
from .cell_output import CellOutput, SummaryBatch, read_cell_output
from .messages import Dialogue, Result

_PYTHON_TOOLS = ("python", "repl")
"""A tool with one of these in its name, and with `code` in its arguments, runs cells."""


@dataclass(frozen=True)
class Step:
    """A parsed tool call. `output` is None for other tools than the REPL, and without a result.

    `answer` is the content of `answer` after a cell, None if it is unknown.
    """

    result: Result
    is_cell: bool
    output: CellOutput | None = None
    writes: AnswerWrites = NOTHING
    answer: str | None = None


@dataclass(frozen=True)
class Transcript:
    """A dialogue with its steps, a sequence per turn. `has_answer` says whether its cells have an `answer`
    dict.
    """

    dialogue: Dialogue
    steps: Sequence[Sequence[Step]]
    has_answer: bool

    @property
    def batches(self) -> list[SummaryBatch]:
        """The batches of sub-LLM calls in the output of the cells."""
        return [batch for steps in self.steps for step in steps if step.output for batch in step.output.batches]

    @property
    def is_ready(self) -> bool:
        """Whether a cell declared the answer final."""
        return any(step.writes.ready for steps in self.steps for step in steps)

    @property
    def last_message(self) -> str | None:
        """The final message; None if the model was still calling tools."""
        turns = self.dialogue.turns
        return turns[-1].content if turns and not turns[-1].results else None

    @property
    def answer(self) -> str | None:
        """The last content of `answer` if it is known, else the last message; None without either."""
        cells = [step for steps in self.steps for step in steps if step.is_cell]
        return (cells[-1].answer if cells else None) or self.last_message


def read_transcript(dialogue: Dialogue, *, has_answer: bool, has_sub_calls: bool) -> Transcript:
    """Returns the transcript of a dialogue.

    `has_sub_calls` says whether `llm_batch` lines are reports of the REPL; otherwise a cell printed them.
    """
    steps = [[_step(result, has_answer=has_answer) for result in turn.results] for turn in dialogue.turns]
    if not has_sub_calls:
        steps = [[_without_batches(step) for step in of_turn] for of_turn in steps]
    if has_answer and all(step.writes.is_known for of_turn in steps for step in of_turn):
        steps = _with_answers(steps)
    return Transcript(dialogue, steps, has_answer)


def _step(result: Result, *, has_answer: bool) -> Step:
    code = code_in(result.call)
    if code is None:
        return Step(result, is_cell=False)
    output = None if result.shown is None else read_cell_output(result.shown)
    failed = output is None or bool(output.error_type) or output.timed_out
    return Step(
        result, is_cell=True, output=output, writes=answer_writes(code, failed=failed) if has_answer else NOTHING
    )


def _without_batches(step: Step) -> Step:
    return step if step.output is None else replace(step, output=replace(step.output, batches=()))


def _with_answers(steps: Sequence[Sequence[Step]]) -> list[list[Step]]:
    """Returns each cell with the content of `answer` after it."""
    now, found = "", []
    for of_turn in steps:
        told = []
        for step in of_turn:
            now = now if step.writes.content is None else step.writes.content
            told.append(replace(step, answer=now) if step.is_cell else step)
        found.append(told)
    return found


def code_in(call: ToolCall) -> str | None:
    """Returns the code of a call that runs a cell; None for other calls, and for malformed arguments."""
    if not any(part in call.name.lower() for part in _PYTHON_TOOLS):
        return None
    try:
        code = json.loads(call.arguments, strict=False)["code"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return code if isinstance(code, str) else None


def root_events(
    transcript: Transcript, *, model: str, sub_model: str, tools: Sequence[Mapping[str, Any]], at: datetime
) -> Iterator[Event]:
    """Yields the events of the root from `at` on, except its end."""
    keys = count(1)
    opening = transcript.dialogue.opening
    yield TrajectoryStarted(key=0, at=at, kind="root", model=model, opening=opening, tools=tools)
    for index, (turn, steps) in enumerate(zip(transcript.dialogue.turns, transcript.steps, strict=True)):
        yield TurnEnded(
            trajectory=0,
            index=index,
            at=at,
            seconds=0.0,
            content=turn.content,
            reasoning=turn.reasoning,
            tool_calls=turn.calls,
            reply=turn.reply,
        )
        for position, step in enumerate(steps):
            key = next(keys)
            yield _started(step, key=key, turn=index, position=position, at=at)
            if step.output is not None:
                for number, batch in enumerate(step.output.batches):
                    yield from _calls(batch, keys, parent=key, number=number, model=sub_model, at=at)
            if step.result.shown is not None:
                yield _ended(step, key=key, shown=step.result.shown, has_answer=transcript.has_answer)
            at += timedelta(seconds=step.output.seconds or 0) if step.output else timedelta()


def _started(step: Step, *, key: int, turn: int, position: int, at: datetime) -> ExecutionStarted:
    call = step.result.call
    return ExecutionStarted(
        key=key,
        trajectory=0,
        turn=turn,
        position=position,
        at=at,
        kind="cell" if step.is_cell else "tool",
        name=call.name,
        call_id=call.id,
        arguments=call.arguments,
    )


def _ended(step: Step, *, key: int, shown: str, has_answer: bool) -> ExecutionEnded:
    output = step.output
    if output is None:
        return ExecutionEnded(key=key, seconds=None, output=shown, shown=shown, output_chars=len(shown))
    return ExecutionEnded(
        key=key,
        seconds=output.seconds,
        output=None if output.truncated else shown,
        shown=shown,
        output_chars=len(shown),
        out=output.out,
        error_type=output.error_type,
        error_message=output.error_message,
        timed_out=output.timed_out,
        state_lost=output.state_lost,
        truncated=output.truncated,
        answer=step.answer,
        ready=step.writes.ready if has_answer else None,
    )


def _calls(
    batch: SummaryBatch, keys: Iterator[int], *, parent: int, number: int, model: str, at: datetime
) -> Iterator[Event]:
    for call in batch.calls:
        key = next(keys)
        yield TrajectoryStarted(
            key=key,
            at=at,
            kind="sub",
            model=model,
            opening=(),
            parent=parent,
            batch=number,
            position=call.position,
            depth=1,
            summary=call.summary,
        )
        yield TrajectoryEnded(
            key=key,
            at=at + timedelta(seconds=call.summary.seconds),
            stop_reason=call.stop_reason,
            answer=None,
            error=call.error,
        )
