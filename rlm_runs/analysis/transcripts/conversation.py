"""A conversation as a page reads it: turns, their executions, and the batches of sub-LLMs that they called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from ...models import Execution, Trajectory, Turn
from .excerpts import Excerpt


@dataclass(frozen=True)
class SubCall:
    """One sub-LLM of a batch, in one line. `summary` holds all that is known of an imported one without texts."""

    pk: int
    batch: int
    position: int
    model: str
    stop_reason: str
    error: str
    answer: Excerpt
    started_at: datetime
    finished_at: datetime | None
    turns: int
    prompt_tokens: int
    completion_tokens: int
    cost: Decimal | None
    summary: Mapping[str, Any] | None = None

    @property
    def is_finished(self) -> bool:
        """Whether the sub-LLM returned. False while it runs, and permanently if its worker died."""
        return self.finished_at is not None

    @property
    def seconds(self) -> float | None:
        """The duration in seconds; None while it runs."""
        return (self.finished_at - self.started_at).total_seconds() if self.finished_at else None

    @property
    def tokens(self) -> int:
        """Prompt and completion tokens."""
        return self.summary["tokens"] if self.summary else self.prompt_tokens + self.completion_tokens

    @property
    def is_ok(self) -> bool:
        """Whether it returned a regular answer."""
        return self.is_finished and not self.error and self.stop_reason not in _TROUBLE


_TROUBLE = frozenset(
    {
        *("max_turns", "no_tool_call", "prompt_too_long", "window_exceeded", "cancelled", "abandoned", "deadline"),
        *("budget_tokens", "budget_dollars", "budget_sub_calls"),
    }
)
"""Stop reasons of a sub-LLM without a regular answer, even if there is no error."""


@dataclass(frozen=True)
class Batch:
    """The sub-LLMs that one `llm_batch` started. `key` names the batch on a page."""

    key: str
    index: int
    calls: tuple[SubCall, ...]

    @property
    def seconds(self) -> float | None:
        """Seconds from the first call's start to the last one's end; None while one runs, or if none is known."""
        if any(call.summary for call in self.calls):
            return None
        ends = [call.finished_at for call in self.calls if call.finished_at]
        if len(ends) < len(self.calls):
            return None
        return (max(ends) - min(call.started_at for call in self.calls)).total_seconds()

    @property
    def troubled(self) -> int:
        """The number of calls that ended without a regular answer."""
        return sum(call.is_finished and not call.is_ok for call in self.calls)

    @property
    def tokens(self) -> int:
        """Prompt and completion tokens of all calls."""
        return sum(call.tokens for call in self.calls)

    @property
    def unfinished(self) -> int:
        """The number of calls that run or were cut off."""
        return sum(not call.is_finished for call in self.calls)


@dataclass(frozen=True)
class ExecutionView:
    """A cell or a tool call. `row` has its numbers and flags, the excerpts have its texts.

    `answer` is the content of the `answer` dict if this cell changed it or made it ready, else None.
    """

    row: Execution
    number: int
    code: Excerpt
    is_malformed: bool
    shown: Excerpt
    out: Excerpt | None
    answer: Excerpt | None
    batches: tuple[Batch, ...]

    @property
    def is_cell(self) -> bool:
        """Whether it is a REPL cell instead of a tool call."""
        return self.row.kind == Execution.Kind.CELL


@dataclass(frozen=True)
class TurnView:
    """One turn: the model's message and its executions. `number` counts from 1."""

    row: Turn
    number: int
    content: Excerpt
    reasoning: Excerpt | None
    reply: Excerpt | None
    executions: tuple[ExecutionView, ...]

    @property
    def is_troubled(self) -> bool:
        """Whether a part of the turn failed."""
        return bool(self.row.error) or any(has_failed(execution.row) for execution in self.executions)

    @property
    def is_ready(self) -> bool:
        """Whether a cell of the turn declared the answer ready."""
        return any(execution.row.ready for execution in self.executions)

    @property
    def sub_calls(self) -> int:
        """The number of sub-LLMs called in the turn."""
        return sum(len(batch.calls) for execution in self.executions for batch in execution.batches)


@dataclass(frozen=True)
class OpeningMessage:
    """A message that opens a conversation."""

    index: int
    role: str
    text: Excerpt


@dataclass(frozen=True)
class OutlineEntry:
    """One line of the outline."""

    number: int
    gist: str
    seconds: float
    is_troubled: bool
    is_ready: bool


@dataclass(frozen=True)
class Conversation:
    """A trajectory for reading. `first` is the number of the first turn in `turns`."""

    row: Trajectory
    opening: tuple[OpeningMessage, ...]
    turns: tuple[TurnView, ...]
    outline: tuple[OutlineEntry, ...]
    first: int
    answer: Excerpt | None

    @property
    def last(self) -> int:
        """The number of the last turn in `turns`."""
        return self.first + len(self.turns) - 1

    @property
    def total(self) -> int:
        """The number of turns of the whole conversation."""
        return len(self.outline)


def has_failed(execution: Execution) -> bool:
    return bool(execution.error_type or execution.timed_out or execution.state_lost)
