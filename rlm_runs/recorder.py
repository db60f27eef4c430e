"""Event → rows, as it happens: the one way into the store, for live rollouts and imported files alike.

Each event is one transaction, so that a worker killed in the middle leaves a trace that reads up to its last
event. The sums of a rollout are computed from its rows in the transaction that ends it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from functools import singledispatchmethod
from typing import Any

from django.db import transaction

from .engine import events
from .models import Execution, Rollout, Text, Trajectory, Turn
from .models.texts import escape, storable
from .sums import roll_up


class ClaimLost(Exception):
    """The rollout is no longer this attempt's to end: it was cancelled, or another worker took it over."""


@dataclass
class Recorder:
    """Writes the events of one attempt of a rollout, in order, from one thread.

    `rollout` must be running; its `attempt` at construction is the one that is recorded.
    """

    rollout: Rollout

    def __post_init__(self) -> None:
        self._attempt = self.rollout.attempt
        self._started_at: datetime | None = None
        self._trajectories: dict[int, int] = {}
        self._turns: dict[tuple[int, int], int] = {}
        self._executions: dict[int, int] = {}

    def record(self, event: events.Event) -> None:
        """Stores one event. Raises ClaimLost at the end of an attempt that no longer counts."""
        with transaction.atomic():
            self._record(event)

    @singledispatchmethod
    def _record(self, event: events.Event) -> None:
        raise TypeError(f"not an event: {event!r}")

    @_record.register
    def _(self, event: events.RolloutStarted) -> None:
        self._started_at = event.at
        self._update_rollout(started_at=event.at, sandbox_backend=event.sandbox_backend)

    @_record.register
    def _(self, event: events.TrajectoryStarted) -> None:
        digests = Text.objects.keep(message.content for message in event.opening)
        opening = [
            {"role": message.role, "text": key} for message, key in zip(event.opening, digests, strict=True)
        ]
        row = Trajectory.objects.create(
            rollout=self.rollout,
            attempt=self._attempt,
            kind=event.kind,
            parent_id=None if event.parent is None else self._executions[event.parent],
            batch=event.batch,
            position=event.position,
            depth=event.depth,
            model=event.model,
            opening=opening,
            tools=storable(event.tools),
            started_at=event.at,
            summary=None if event.summary is None else asdict(event.summary),
        )
        self._trajectories[event.key] = row.pk

    @_record.register
    def _(self, event: events.TurnEnded) -> None:
        content, reasoning, reply = _kept(
            event.content, event.reasoning or None, event.reply if event.reply else None
        )
        row = Turn.objects.create(
            trajectory_id=self._trajectories[event.trajectory],
            index=event.index,
            content_id=content,
            reasoning_id=reasoning,
            reply_id=reply,
            finish_reason=escape(event.finish_reason)[:40],
            prompt_tokens=event.usage.prompt,
            cached_tokens=event.usage.cached,
            completion_tokens=event.usage.completion,
            reasoning_tokens=event.usage.reasoning,
            usage=storable(event.usage.raw),
            cost=event.cost,
            price_version=event.price_version,
            ended_at=event.at,
            seconds=event.seconds,
            retries=event.retries,
            retry_seconds=event.retry_seconds,
            error=escape(event.error),
        )
        self._turns[event.trajectory, event.index] = row.pk

    @_record.register
    def _(self, event: events.ExecutionStarted) -> None:
        (arguments,) = _kept(event.arguments)
        row = Execution.objects.create(
            turn_id=self._turns[event.trajectory, event.turn],
            position=event.position,
            kind=event.kind,
            name=escape(event.name)[:100],
            call_id=escape(event.call_id)[:200],
            arguments_id=arguments,
            started_at=event.at,
        )
        self._executions[event.key] = row.pk

    @_record.register
    def _(self, event: events.ExecutionEnded) -> None:
        output, shown, out, answer = _kept(event.output, event.shown, event.out, event.answer)
        Execution.objects.filter(pk=self._executions[event.key]).update(
            output=output,
            shown=shown,
            out=out,
            answer=answer,
            ready=event.ready,
            output_chars=event.output_chars,
            truncated=event.truncated,
            error_type=escape(event.error_type)[:200],
            error_message=escape(event.error_message),
            timed_out=event.timed_out,
            state_lost=event.state_lost,
            finished=True,
            seconds=event.seconds,
            cpu_seconds=event.cpu_seconds,
            peak_memory_bytes=event.peak_memory_bytes,
            variables=storable(event.variables),
        )

    @_record.register
    def _(self, event: events.TrajectoryEnded) -> None:
        (answer,) = _kept(event.answer)
        Trajectory.objects.filter(pk=self._trajectories[event.key]).update(
            finished_at=event.at, stop_reason=event.stop_reason, answer=answer, error=escape(event.error)
        )

    @_record.register
    def _(self, event: events.RolloutEnded) -> None:
        (answer,) = _kept(event.answer)
        self._update_rollout(
            status=_status_at_end(event),
            stop_reason=event.stop_reason,
            reward=event.reward,
            metrics=storable(event.metrics),
            answer=answer,
            error=escape(event.error),
            error_boundary=event.boundary,
            finished_at=event.at,
            seconds=self._seconds_until(event),
            lease_expires_at=None,
            **roll_up(self.rollout, attempt=self._attempt, ended=event),
        )

    def _seconds_until(self, event: events.RolloutEnded) -> float | None:
        """What the attempt took, without scoring; of an import what its file says."""
        if event.reported is not None:
            return event.reported.seconds
        if self._started_at is None:
            return None
        return (event.at - self._started_at).total_seconds() - event.scoring_seconds

    def _update_rollout(self, **columns: Any) -> None:
        """A conditional UPDATE, not a lock: it takes nothing where the attempt is no longer this one."""
        mine = Rollout.objects.filter(pk=self.rollout.pk, status=Rollout.Status.RUNNING, attempt=self._attempt)
        if mine.update(**columns) != 1:
            raise ClaimLost(f"rollout {self.rollout.pk} is no longer in attempt {self._attempt}")


def _kept(*bodies: str | None) -> list[str | None]:
    """The digests of the bodies, stored; None stays None."""
    digests = iter(Text.objects.keep(body for body in bodies if body is not None))
    return [None if body is None else next(digests) for body in bodies]


def _status_at_end(event: events.RolloutEnded) -> Rollout.Status:
    if event.stop_reason == "cancelled":
        return Rollout.Status.CANCELLED
    return Rollout.Status.FAILED if event.reward is None else Rollout.Status.COMPLETED
