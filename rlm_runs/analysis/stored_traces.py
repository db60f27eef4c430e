"""Stored traces, read back as the engine's events: the inverse of the recorder.

Each trajectory and execution gets a key like the engine's. The trace maps keys to rows, so that an attempt can be
resumed in the same rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, cast

from ..engine import events
from ..models import Execution, Rollout, Text, Trajectory, Turn
from ..models.texts import unescape, unstorable


@dataclass(frozen=True)
class StoredTrace:
    """An attempt as events, parents before their children, with the ids of its rows by the events' keys."""

    events: Sequence[events.Event] = ()
    trajectories: Mapping[int, int] = field(default_factory=dict)
    turns: Mapping[tuple[int, int], int] = field(default_factory=dict)
    executions: Mapping[int, int] = field(default_factory=dict)


def stored_trace(rollout: Rollout, *, attempt: int) -> StoredTrace:
    """Returns an attempt of a rollout with all its texts. Four queries."""
    trajectories = list(rollout.trajectories.filter(attempt=attempt, rescoring=None).order_by("depth", "pk"))
    turns = list(Turn.objects.filter(trajectory__in=trajectories).order_by("trajectory", "index"))
    executions = list(Execution.objects.filter(turn__in=turns).order_by("turn", "position"))
    return _Reading(trajectories, turns, executions).trace()


class _Reading:
    """A conversion of an attempt's rows to events."""

    def __init__(
        self, trajectories: Sequence[Trajectory], turns: Sequence[Turn], executions: Sequence[Execution]
    ) -> None:
        self._trajectories, self._executions = trajectories, executions
        self._turns: dict[int, list[Turn]] = {}
        for turn in turns:
            self._turns.setdefault(turn.trajectory_id, []).append(turn)
        self._by_turn: dict[int, list[Execution]] = {}
        for execution in executions:
            self._by_turn.setdefault(execution.turn_id, []).append(execution)
        numbers = iter(range(len(trajectories) + len(executions)))
        self._key = {row.pk: next(numbers) for row in trajectories}
        self._execution_key = {row.pk: next(numbers) for row in executions}
        self._texts = Text.objects.read(_digests(trajectories, turns, executions))

    def trace(self) -> StoredTrace:
        told: list[events.Event] = []
        turns = {}
        for row in self._trajectories:
            told.append(self._start(row))
            for turn in self._turns.get(row.pk, ()):
                turns[self._key[row.pk], turn.index] = turn.pk
                told.append(self._turn(turn))
                for execution in self._by_turn.get(turn.pk, ()):
                    told += self._execution(execution, turn)
            if row.finished_at is not None:
                told.append(self._end(row))
        return StoredTrace(
            told,
            {key: pk for pk, key in self._key.items()},
            turns,
            {key: pk for pk, key in self._execution_key.items()},
        )

    def _start(self, row: Trajectory) -> events.TrajectoryStarted:
        opening = [events.Message(message["role"], self._texts[message["text"]]) for message in row.opening]
        return events.TrajectoryStarted(
            key=self._key[row.pk],
            at=row.started_at,
            kind=cast(events.TrajectoryKind, row.kind),
            model=unescape(row.model),
            opening=opening,
            tools=unstorable(row.tools),
            parent=None if row.parent_id is None else self._execution_key[row.parent_id],
            batch=row.batch,
            position=row.position,
            depth=row.depth,
            summary=None if row.summary is None else events.CallSummary(**row.summary),
        )

    def _turn(self, row: Turn) -> events.TurnEnded:
        return events.TurnEnded(
            trajectory=self._key[row.trajectory_id],
            index=row.index,
            at=row.ended_at,
            seconds=row.seconds,
            content=self._texts[row.content_id],
            reasoning=self._text(row.reasoning_id) or "",
            tool_calls=self._tool_calls(row),
            finish_reason=unescape(row.finish_reason),
            usage=events.Usage(
                prompt=row.prompt_tokens,
                cached=row.cached_tokens,
                cache_write=row.cache_write_tokens,
                completion=row.completion_tokens,
                reasoning=row.reasoning_tokens,
                raw=unstorable(row.usage),
                estimated=row.tokens_estimated,
                sent=row.sent_tokens,
            ),
            cost=row.cost,
            price_version=row.price_version,
            provider_cost=row.provider_cost,
            retries=row.retries,
            retry_seconds=row.retry_seconds,
            failed_tries=[_failed_try(unstorable(failed)) for failed in row.failed_tries],
            first_token_seconds=row.first_token_seconds,
            tokens_per_second=row.tokens_per_second,
            reply=self._text(row.reply_id) or "",
            error=unescape(row.error),
        )

    def _tool_calls(self, row: Turn) -> list[events.ToolCall]:
        """Returns the calls of a turn. For turns that predate stored calls, these are the calls that began."""
        if row.tool_calls is not None:
            return [
                events.ToolCall(unescape(call["id"]), unescape(call["name"]), self._texts[call["arguments"]])
                for call in row.tool_calls
            ]
        return [
            events.ToolCall(unescape(each.call_id), unescape(each.name), self._texts[each.arguments_id])
            for each in self._by_turn.get(row.pk, ())
        ]

    def _execution(self, row: Execution, turn: Turn) -> Iterable[events.Event]:
        key = self._execution_key[row.pk]
        yield events.ExecutionStarted(
            key=key,
            trajectory=self._key[turn.trajectory_id],
            turn=turn.index,
            position=row.position,
            at=row.started_at,
            kind=cast(Literal["cell", "tool"], row.kind),
            name=unescape(row.name),
            call_id=unescape(row.call_id),
            arguments=self._texts[row.arguments_id],
        )
        if row.finished:
            yield events.ExecutionEnded(
                key=key,
                seconds=row.seconds,
                output=self._text(row.output_id),
                shown=self._text(row.shown_id) or "",
                output_chars=row.output_chars,
                out=self._text(row.out_id),
                error_type=unescape(row.error_type),
                error_message=unescape(row.error_message),
                timed_out=row.timed_out,
                state_lost=row.state_lost,
                truncated=row.truncated,
                cpu_seconds=row.cpu_seconds,
                peak_memory_bytes=row.peak_memory_bytes,
                answer=self._text(row.answer_id),
                ready=row.ready,
                repairs=tuple(filter(None, row.repairs.split(","))),
                variables=unstorable(row.variables),
            )

    def _end(self, row: Trajectory) -> events.TrajectoryEnded:
        assert row.finished_at is not None
        return events.TrajectoryEnded(
            key=self._key[row.pk],
            at=row.finished_at,
            stop_reason=unescape(row.stop_reason),
            answer=self._text(row.answer_id),
            error=unescape(row.error),
        )

    def _text(self, digest: str | None) -> str | None:
        return None if digest is None else self._texts[digest]


def _digests(
    trajectories: Iterable[Trajectory], turns: Iterable[Turn], executions: Iterable[Execution]
) -> set[str]:
    found: set[Any] = set()
    for trajectory in trajectories:
        found |= {trajectory.answer_id, *(message["text"] for message in trajectory.opening)}
    for turn in turns:
        found |= {turn.content_id, turn.reasoning_id, turn.reply_id}
        found |= {call["arguments"] for call in turn.tool_calls or ()}
    for row in executions:
        found |= {row.arguments_id, row.output_id, row.shown_id, row.out_id, row.answer_id}
    return found - {None}


def _failed_try(stored: Mapping[str, Any]) -> events.FailedTry:
    return events.FailedTry(**{**stored, "at": datetime.fromisoformat(stored["at"])})
