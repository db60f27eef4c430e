"""The events of a rollout: the one language between the engine, the importers and the recorder.

Order of a rollout's events:

    RolloutStarted                         or RolloutResumed, when an interrupted attempt continues
      TrajectoryStarted                    the root's, key 0
        TurnEnded                          a model call returned
          ExecutionStarted                 a cell or tool call of the turn begins
            TrajectoryStarted … Ended      sub-LLMs that the cell's `llm_batch` called; theirs interleave
          ExecutionEnded
      TrajectoryEnded
    RolloutEnded

In a resumed attempt, the start event of a recorded trajectory or execution opens it again. Keys are small
integers, unique within the rollout. Times are aware datetimes, seconds are wall time. An imported rollout without
a transcript has only the first and the last event.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

Role = Literal["system", "user", "assistant"]
TrajectoryKind = Literal["root", "sub", "judge"]
ExecutionKind = Literal["cell", "tool"]


@dataclass(frozen=True)
class Message:
    """A message that opens a trajectory. An assistant's message is a worked example of an imported prompt."""

    role: Role
    content: str


@dataclass(frozen=True)
class Usage:
    """Tokens of one model call. `cached` and `cache_write` are parts of `prompt`, `reasoning` is a part of
    `completion`.

    `raw` is the usage object as the API sent it, empty without one. `estimated` says that the prompt or completion
    count is our own, because the server sent none. If the server truncated the prompt, `sent` is our count of the
    whole prompt, else None.
    """

    prompt: int | None = None
    cached: int | None = None
    cache_write: int | None = None
    completion: int | None = None
    reasoning: int | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)
    estimated: bool = False
    sent: int | None = None


@dataclass(frozen=True)
class FailedTry:
    """A failed try of a model call. `waited` is the number of seconds until the next try; `status` is None without
    a response.
    """

    at: datetime
    seconds: float
    waited: float
    status: int | None
    message: str


@dataclass(frozen=True)
class Cost:
    """Dollars of one model call. `version` names the price list."""

    dollars: Decimal
    version: str


@dataclass(frozen=True)
class ToolCall:
    """A tool call as the model wrote it. `arguments` is JSON text, possibly malformed."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class RolloutStarted:
    """The attempt begins. `sandbox_backend` is "" if no sandbox is needed."""

    at: datetime
    sandbox_backend: str


@dataclass(frozen=True)
class RolloutResumed:
    """An interrupted attempt continues after its last turn.

    `turns` counts the root's completed turns so far; `seconds` is how long the attempt had run.
    """

    at: datetime
    sandbox_backend: str
    turns: int
    seconds: float


@dataclass(frozen=True)
class CallSummary:
    """A sub-LLM call as one line of a cell's output. `tokens` are prompt plus completion."""

    tokens: int
    tool_calls: int
    seconds: float


@dataclass(frozen=True)
class TrajectoryStarted:
    """A model conversation begins. `parent` is the key of the execution that started it, None for the root.

    `batch` is the number of the `llm_batch` in the execution, `position` that of the prompt in the batch.
    `summary` stands for an imported sub-LLM of which only one line is known; such a sub-LLM has no turns.
    """

    key: int
    at: datetime
    kind: TrajectoryKind
    model: str
    opening: Sequence[Message]
    tools: Sequence[Mapping[str, Any]] = ()
    parent: int | None = None
    batch: int | None = None
    position: int | None = None
    depth: int = 0
    summary: CallSummary | None = None


@dataclass(frozen=True)
class TurnEnded:
    """One model call of a trajectory ended, with a completion or with `error`.

    `reply` is the host's user message after it, following the results of its tool calls; "" without one. `seconds`
    includes retries; `retry_seconds` is the part spent on failed tries and waits. `cost` is in dollars, None
    without a known price; `price_version` names the price list. `provider_cost` is the provider's own figure.
    `first_token_seconds` and `tokens_per_second` are those of a streamed answer.
    """

    trajectory: int
    index: int
    at: datetime
    seconds: float
    content: str = ""
    reasoning: str = ""
    tool_calls: Sequence[ToolCall] = ()
    finish_reason: str = ""
    usage: Usage = field(default_factory=Usage)
    cost: Decimal | None = None
    price_version: str = ""
    provider_cost: Decimal | None = None
    retries: int = 0
    retry_seconds: float = 0.0
    failed_tries: Sequence[FailedTry] = ()
    reply: str = ""
    error: str = ""
    first_token_seconds: float | None = None
    tokens_per_second: float | None = None


@dataclass(frozen=True)
class ExecutionStarted:
    """A cell or a tool call begins. `arguments` is the JSON text that the model wrote, possibly malformed."""

    key: int
    trajectory: int
    turn: int
    position: int
    at: datetime
    kind: ExecutionKind
    name: str
    call_id: str
    arguments: str


@dataclass(frozen=True)
class ExecutionEnded:
    """An execution ended. `output` is its output (whole up to a limit), `shown` is what the model was sent.

    `output_chars` counts the whole output. `answer` and `ready` are the state of `answer` after a cell, None
    without one. `repairs` names the corrections made to the source before it ran. In an import, `seconds` is None
    if the file has no time, and `output` is None if the file has only `shown`.
    """

    key: int
    seconds: float | None
    output: str | None
    shown: str
    output_chars: int
    out: str | None = None
    error_type: str = ""
    error_message: str = ""
    timed_out: bool = False
    state_lost: bool = False
    truncated: bool = False
    cpu_seconds: float | None = None
    peak_memory_bytes: int | None = None
    answer: str | None = None
    ready: bool | None = None
    repairs: Sequence[str] = ()
    variables: Sequence[Mapping[str, str]] = ()


@dataclass(frozen=True)
class TrajectoryEnded:
    """A model conversation ended. `answer` is what it returned to its caller, None if unknown."""

    key: int
    at: datetime
    stop_reason: str
    answer: str | None
    error: str = ""


@dataclass(frozen=True)
class ReportedSums:
    """The sums of a rollout as an imported file states them, named like the store's columns; None if not
    stated.
    """

    seconds: float | None = None
    turns: int | None = None
    cells: int | None = None
    tool_calls: int | None = None
    batches: int | None = None
    max_batch: int | None = None
    sub_calls: int | None = None
    sub_turns: int | None = None
    main_prompt_tokens: int | None = None
    main_completion_tokens: int | None = None
    sub_prompt_tokens: int | None = None
    sub_completion_tokens: int | None = None
    cell_seconds: float | None = None
    sub_seconds: float | None = None
    cost: Decimal | None = None


@dataclass(frozen=True)
class RolloutEnded:
    """The attempt ended. `reward` is None if it was not scored; `boundary` says whose failure it was.

    `scoring_seconds` is the time of scoring. `answer` is None if an imported file lacks it. `reported` holds the
    sums of an imported rollout whose turns have no numbers, else None.
    """

    at: datetime
    stop_reason: str
    answer: str | None
    scoring_seconds: float = 0.0
    reward: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    boundary: str = ""
    error: str = ""
    reported: ReportedSums | None = None


Event = (
    RolloutStarted
    | RolloutResumed
    | TrajectoryStarted
    | TurnEnded
    | ExecutionStarted
    | ExecutionEnded
    | TrajectoryEnded
    | RolloutEnded
)
