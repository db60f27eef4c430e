"""Replays a recording: conversations, tools and REPLs ask here first, and go live where the recording ends.

The scaffold's code runs from its start. Recorded completions, tool results and sub-LLM answers come from the
recording; cells run again in a fresh sandbox, and their output is compared. Nothing recorded is asked of a model
again, and no event is sent twice. The mechanism lies below the scaffolds, which have no code for it.
"""

from __future__ import annotations

import re
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.contract import CellResult

from .errors import BudgetSpent, ModelFailure, RolloutFailure, WindowExceeded
from .events import ExecutionEnded, Message, TrajectoryKind, TurnEnded
from .recording import RecordedExecution, RecordedTrajectory, Recording

_BUDGETS = ("budget_tokens", "budget_dollars", "budget_sub_calls", "deadline")
_MARKS = (
    (re.compile(r"\bat 0x[0-9a-fA-F]+"), "at 0x…"),
    (re.compile(r"(llm_batch: \d+ call\(s\) in )\d+\.\d\ds"), r"\1…"),
    (re.compile(r"(  \[\d+\]: \d+ tokens, \d+ tool calls, )\d+\.\d\ds"), r"\1…"),
)
"""Text that may differ between two runs of a cell: memory addresses, and the seconds that `llm_batch` prints."""


@dataclass(frozen=True)
class Difference:
    """A place where a cell or the host differs from the recording. `cell` and `turn` count from 1.

    `cell` is None if the difference is not a cell's. `depth` is that of the conversation.
    """

    what: str
    recorded: str
    now: str
    depth: int = 0
    turn: int | None = None
    cell: int | None = None

    def __str__(self) -> str:
        where = "" if self.cell is None else f"cell {self.cell} "
        below = f" at depth {self.depth}" if self.depth else ""
        return f"{where}{self.what}{below}"


class Diverged(Exception):
    """The replay cannot follow the recording, because something differs."""

    def __init__(self, difference: Difference) -> None:
        super().__init__(str(difference))
        self.difference = difference


class RecordedFailure(ModelFailure):
    """A model call that failed when it was recorded."""

    def __init__(self, message: str, *, stop_reason: str) -> None:
        super().__init__(message)
        self.stop_reason = stop_reason


class RecordingOver(RolloutFailure):
    """A replay without models has reached the end of its recording."""

    boundary = "control"
    stop_reason = "recording_over"


class Replay:
    """The source of answers from a recording. Thread-safe.

    `on_difference` receives each difference; without it, the first one raises Diverged. With `whole`, ended
    sub-LLMs are replayed as well instead of only answered, and nothing goes live: RecordingOver is raised where
    the recording ends. `before_live` is called once, where the root leaves the recording; an exception that it
    raises ends the replay.
    """

    def __init__(
        self,
        recording: Recording | None = None,
        *,
        on_difference: Callable[[Difference], None] | None = None,
        whole: bool = False,
        before_live: Callable[[], None] | None = None,
    ) -> None:
        self.recording = recording or Recording()
        self.first_free_key = self.recording.next_key
        self.whole = whole
        self.diverged: Difference | None = None
        self._on_difference = on_difference
        self._before_live = before_live
        self._lock = threading.Lock()
        self._waiting: dict[tuple[Any, ...], deque[RecordedTrajectory]] = defaultdict(deque)
        self._executions: dict[tuple[int, int, int], RecordedExecution] = {}
        self._by_key: dict[int, RecordedExecution] = {}
        self._calls: Counter[int] = Counter()
        for trajectory in self.recording.trajectories:
            start = trajectory.start
            self._waiting[start.kind, start.parent, start.batch, start.position].append(trajectory)
        for execution in self.recording.executions:
            begun = execution.start
            self._executions[begun.trajectory, begun.turn, begun.position] = execution
            self._by_key[begun.key] = execution
            self._calls[begun.trajectory] += 1

    def check_live(self) -> None:
        """Raises RecordingOver if nothing may go live, and whatever `before_live` raises."""
        if self.whole:
            raise RecordingOver("the recording ends here")
        if self._before_live is not None:
            self._before_live()
            self._before_live = None

    def differs(self, difference: Difference) -> None:
        """Reports a difference. Raises Diverged if the recording must be followed exactly."""
        if self._on_difference is not None:
            with self._lock:
                self._on_difference(difference)
            return
        self.diverged = self.diverged or difference
        raise Diverged(difference)

    def next_trajectory(
        self, kind: TrajectoryKind, *, parent: int | None, batch: int | None, position: int | None
    ) -> RecordedTrajectory | None:
        """Takes the recorded conversation that begins here; returns None if there is none left."""
        with self._lock:
            waiting = self._waiting.get((kind, parent, batch, position))
            return waiting.popleft() if waiting else None

    def sub_call(self, *, parent: int, batch: int, position: int) -> RecordedTrajectory | None:
        """Returns the recorded conversation of a sub-LLM, without taking it."""
        with self._lock:
            waiting = self._waiting.get(("sub", parent, batch, position))
            return waiting[0] if waiting else None

    def execution(self, *, trajectory: int, turn: int, position: int) -> RecordedExecution | None:
        """Returns the recorded execution of a turn at this position."""
        return self._executions.get((trajectory, turn, position))

    def end_of(self, key: int) -> ExecutionEnded | None:
        """Returns the recorded end of an execution; None if it is live or was cut off."""
        found = self._by_key.get(key)
        return found.end if found else None

    def executions_of(self, trajectory: int) -> int:
        """Returns the number of cells and tool calls of a recorded conversation."""
        return self._calls[trajectory]

    def compare_opening(
        self,
        recorded: RecordedTrajectory,
        *,
        opening: Sequence[Message],
        tools: Sequence[Mapping[str, Any]],
    ) -> None:
        """Compares the opening of a conversation with the recording. Raises as `differs` does."""
        start = recorded.start
        said, says = [_plain(start.opening), _plain(start.tools)], [_plain(opening), _plain(tools)]
        if said != says:
            what = "a sub-LLM was asked something else" if start.kind == "sub" else "the prompt is another one"
            self.differs(Difference(what, _text_of(start.opening), _text_of(opening), depth=start.depth))

    def compare_cell(
        self, recorded: ExecutionEnded, result: CellResult, *, output: str, depth: int, turn: int, cell: int
    ) -> None:
        """Compares a cell's result with the recording. `output` is the cell's whole output. Raises as `differs`
        does.

        Texts are equal if they differ only in memory addresses (`at 0x…`) and in the seconds that `llm_batch`
        prints. Times, memory and the table of variables are not compared.
        """
        error = result.error
        pairs = [
            ("printed something else", recorded.output or "", output),
            ("has another error", recorded.error_type, error.type if error else ""),
            ("has another error", recorded.error_message, error.message if error else ""),
            ("has another time-out", str(recorded.timed_out), str(result.timed_out)),
            ("lost the REPL's state at another time", str(recorded.state_lost), str(result.state_lost)),
        ]
        if recorded.answer is not None:
            pairs.append(("left another answer", recorded.answer, result.answer.content))
            pairs.append(("left another answer", f"ready: {recorded.ready}", f"ready: {result.answer.ready}"))
        for what, then, now in pairs:
            if comparable(then) != comparable(now):
                self.differs(Difference(what, then, now, depth=depth, turn=turn, cell=cell))
                return  # one difference of a cell causes others


def comparable(text: str) -> str:
    """Returns the text without the parts that may differ between two runs."""
    for pattern, replacement in _MARKS:
        text = pattern.sub(replacement, text)
    return text


def recorded_failure(turn: TurnEnded, trajectory: RecordedTrajectory) -> RolloutFailure:
    """Returns the failure of a recorded model call."""
    is_last = trajectory.end is not None and turn is trajectory.turns[-1]
    return _failure(turn.error, trajectory.end.stop_reason if is_last and trajectory.end else "model_error")


def recorded_end(trajectory: RecordedTrajectory) -> RolloutFailure:
    """Returns the failure that ended a recorded conversation."""
    assert trajectory.end is not None
    return _failure(trajectory.end.error, trajectory.end.stop_reason)


def _failure(message: str, stop_reason: str) -> RolloutFailure:
    if stop_reason in _BUDGETS:
        return BudgetSpent(message, stop_reason=stop_reason)
    if stop_reason == WindowExceeded.stop_reason:
        return WindowExceeded(message)
    return RecordedFailure(message, stop_reason=stop_reason)


def _plain(parts: Sequence[Any]) -> Any:
    """Returns messages and schemas in a form in which tuples equal lists."""
    if isinstance(parts, Mapping):
        return {key: _plain(value) for key, value in parts.items()}
    if isinstance(parts, list | tuple):
        return [_plain(part) for part in parts]
    return parts


def _text_of(opening: Sequence[Message]) -> str:
    return "\n\n".join(message.content for message in opening)
