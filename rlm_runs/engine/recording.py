"""A recording: the events of an attempt so far, read back from the store, from which it can be replayed.

Interrupted parts are unfinished: an execution without an end runs again, and a conversation without an end
continues after its last turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from .events import (
    Event,
    ExecutionEnded,
    ExecutionStarted,
    TrajectoryEnded,
    TrajectoryStarted,
    TurnEnded,
)

INTERRUPTED = "interrupted"
"""Stop reason of a conversation whose worker was told to stop."""
_STOPPED = "Stopped"
"""`error_type` of a tool call whose worker was told to stop."""


@dataclass(frozen=True)
class RecordedTrajectory:
    """A conversation. `end` is None if it was cut off."""

    start: TrajectoryStarted
    turns: Sequence[TurnEnded]
    end: TrajectoryEnded | None


@dataclass(frozen=True)
class RecordedExecution:
    """A cell or a tool call. `end` is None if it was cut off."""

    start: ExecutionStarted
    end: ExecutionEnded | None


@dataclass(frozen=True)
class Spent:
    """The part of its budget that an attempt has used."""

    sub_calls: int = 0
    tokens: int = 0
    dollars: Decimal = Decimal(0)
    seconds: float = 0.0


@dataclass(frozen=True)
class Recording:
    """The trajectories and executions of an attempt. `seconds` is how long it has run."""

    trajectories: Sequence[RecordedTrajectory] = ()
    executions: Sequence[RecordedExecution] = ()
    seconds: float = 0.0

    @classmethod
    def of(cls, events: Iterable[Event], *, seconds: float = 0.0) -> Recording:
        """Makes a recording from the events of an attempt, in any order."""
        starts: dict[int, TrajectoryStarted] = {}
        ends: dict[int, TrajectoryEnded] = {}
        turns: dict[int, list[TurnEnded]] = {}
        executions: dict[int, ExecutionStarted] = {}
        results: dict[int, ExecutionEnded] = {}
        for event in events:
            match event:
                case TrajectoryStarted():
                    starts[event.key] = event
                case TrajectoryEnded() if event.stop_reason != INTERRUPTED:
                    ends[event.key] = event
                case TurnEnded():
                    turns.setdefault(event.trajectory, []).append(event)
                case ExecutionStarted():
                    executions[event.key] = event
                case ExecutionEnded() if event.error_type != _STOPPED:
                    results[event.key] = event
                case _:
                    pass
        return cls(
            [
                RecordedTrajectory(start, sorted(turns.get(key, ()), key=lambda turn: turn.index), ends.get(key))
                for key, start in starts.items()
            ],
            [RecordedExecution(start, results.get(key)) for key, start in executions.items()],
            seconds,
        )

    def events(self) -> list[Event]:
        """Returns the recording as events that can be recorded. Parents come before their children."""
        executions: dict[int, list[RecordedExecution]] = {}
        for execution in self.executions:
            executions.setdefault(execution.start.trajectory, []).append(execution)
        told: list[Event] = []
        for trajectory in sorted(self.trajectories, key=lambda each: (each.start.depth, each.start.key)):
            told += [trajectory.start, *trajectory.turns]
            for execution in executions.get(trajectory.start.key, ()):
                told += [execution.start, *([execution.end] if execution.end else [])]
            if trajectory.end is not None:
                told.append(trajectory.end)
        return told

    @property
    def root(self) -> RecordedTrajectory | None:
        """The root's conversation; None if it has not begun."""
        return next((each for each in self.trajectories if each.start.kind == "root"), None)

    @property
    def turns(self) -> int:
        """The number of the root's completed turns."""
        return sum(not turn.error for turn in self.root.turns) if self.root else 0

    @property
    def next_key(self) -> int:
        """The first unused key."""
        keys = [each.start.key for each in self.trajectories] + [each.start.key for each in self.executions]
        return max(keys, default=-1) + 1

    @property
    def spent(self) -> Spent:
        """The part of the budget that the attempt has used. Judges do not count."""
        metered = [each for each in self.trajectories if each.start.kind != "judge"]
        turns = [turn for each in metered for turn in each.turns]
        return Spent(
            sub_calls=sum(each.start.kind == "sub" for each in metered),
            tokens=sum((turn.usage.prompt or 0) + (turn.usage.completion or 0) for turn in turns),
            dollars=sum(map(_dollars, turns), Decimal(0)),
            seconds=self.seconds,
        )


def _dollars(turn: TurnEnded) -> Decimal:
    """Returns the dollars that the budget counts for a call: our price, else the provider's own figure."""
    return turn.cost if turn.cost is not None else turn.provider_cost or Decimal(0)
