"""Forks: a recording up to a turn of the root, with an edit, from which a rollout continues live."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from .events import ToolCall, TurnEnded
from .recording import RecordedExecution, RecordedTrajectory, Recording


class BadFork(ValueError):
    """The recording cannot be forked at this place."""


@dataclass(frozen=True)
class Place:
    """A sub-LLM call of the forked turn: execution in the turn, batch in it, prompt in that; all counted
    from 0.
    """

    execution: int
    batch: int
    position: int


@dataclass(frozen=True)
class Edit:
    """The changes to the forked turn: the model's message, its first cell, the answers of sub-LLMs."""

    message: str | None = None
    code: str | None = None
    answers: Mapping[Place, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.message is not None or self.code is not None or bool(self.answers)


def fork(recording: Recording, *, turn: int, edit: Edit | None = None) -> Recording:
    """Returns the recording up to and including the root's turn number `turn`, counted from 1. Raises BadFork.

    An edited cell is cut off and runs when the rollout continues, and so does a cell with an edited sub-LLM
    answer. The other parts stay as recorded, but their calls cost nothing, because they are not made again.
    """
    edit = edit or Edit()
    root = recording.root
    if root is None or not 1 <= turn <= len(root.turns) or root.turns[turn - 1].error:
        raise BadFork(f"there is no turn {turn} to fork")
    executions: list[RecordedExecution] = []
    trajectories = [
        replace(root, turns=[*root.turns[: turn - 1], _apply_edit(root.turns[turn - 1], edit)], end=None)
    ]
    children = _children(recording)
    ahead = [each for each in _executions_of(recording, root) if each.start.turn < turn]
    answers = dict(edit.answers)
    while ahead:
        execution = ahead.pop(0)
        is_forked = execution.start.trajectory == root.start.key and execution.start.turn == turn - 1
        if is_forked and edit.code is not None:
            continue  # executions after the edited cell in its turn run again as well
        answered = {place: text for place, text in answers.items() if is_forked and _is_in(place, execution)}
        executions.append(replace(execution, end=None) if answered else execution)
        for trajectory in children.get(execution.start.key, ()):
            place = Place(execution.start.position, trajectory.start.batch or 0, trajectory.start.position or 0)
            trajectories.append(_with_answer(trajectory, answers.pop(place)) if place in answered else trajectory)
            ahead += _executions_of(recording, trajectory)
    if answers:
        raise BadFork(f"turn {turn} has no call at {next(iter(answers))}")
    return Recording([replace(each, turns=_without_cost(each.turns)) for each in trajectories], executions)


def _apply_edit(turn: TurnEnded, edit: Edit) -> TurnEnded:
    if edit.message is not None:
        turn = replace(turn, content=edit.message)
    if edit.code is not None:
        calls = list(turn.tool_calls)
        at = next((number for number, call in enumerate(calls) if _has_code(call)), None)
        if at is None:
            raise BadFork(f"turn {turn.index + 1} has no cell")
        calls[at] = replace(calls[at], arguments=json.dumps({"code": edit.code}))
        turn = replace(turn, tool_calls=calls)
    return turn


def _has_code(call: ToolCall) -> bool:
    try:
        arguments = json.loads(call.arguments)
    except ValueError:
        return False
    return isinstance(arguments, dict) and isinstance(arguments.get("code"), str)


def _is_in(place: Place, execution: RecordedExecution) -> bool:
    return place.execution == execution.start.position


def _with_answer(trajectory: RecordedTrajectory, answer: str) -> RecordedTrajectory:
    if trajectory.end is None:
        raise BadFork("the call whose answer is edited has not ended")
    end = replace(trajectory.end, answer=answer, error="", stop_reason="final_message")
    return replace(trajectory, end=end)


def _children(recording: Recording) -> dict[int | None, list[RecordedTrajectory]]:
    """Returns a map of execution → the conversations that it started. Judges have none."""
    found: dict[int | None, list[RecordedTrajectory]] = {}
    for trajectory in recording.trajectories:
        found.setdefault(trajectory.start.parent, []).append(trajectory)
    return found


def _executions_of(recording: Recording, trajectory: RecordedTrajectory) -> list[RecordedExecution]:
    return [each for each in recording.executions if each.start.trajectory == trajectory.start.key]


def _without_cost(turns: Sequence[TurnEnded]) -> list[TurnEnded]:
    return [replace(turn, cost=Decimal(0), provider_cost=None, price_version="") for turn in turns]
