"""Event → rows, as it happens: the one way into the store, for live rollouts and imported files alike.

Each event of a live rollout is one transaction, so that a worker killed in the middle leaves a trace that reads up
to its last event. The sums of a rollout are computed from its rows in the transaction that ends it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import singledispatchmethod
from typing import Any

from django.db import transaction

from ..engine import events
from ..models import Execution, Rollout, Text, Trajectory, Turn
from ..models.texts import digest, escape, storable
from .rollups import roll_up

_Row = Trajectory | Turn | Execution


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
        self._trajectories: dict[int, Trajectory] = {}
        self._turns: dict[tuple[int, int], Turn] = {}
        self._executions: dict[int, Execution] = {}
        self._fresh: list[_Row] = []
        self._texts: dict[str, str] = {}

    def record(self, event: events.Event) -> None:
        """Stores one event. Raises ClaimLost at the end of an attempt that no longer counts."""
        self.record_all([event])

    def record_all(self, told: Iterable[events.Event]) -> None:
        """Stores events in one transaction: for imports, where none of them has to be seen before the last."""
        try:
            with transaction.atomic():
                for event in told:
                    self._record(event)
                self._write()
        finally:
            self._fresh.clear()
            self._texts.clear()

    @singledispatchmethod
    def _record(self, event: events.Event) -> None:
        raise TypeError(f"not an event: {event!r}")

    @_record.register
    def _(self, event: events.RolloutStarted) -> None:
        self._started_at = event.at
        self._update_rollout(started_at=event.at, sandbox_backend=event.sandbox_backend)

    @_record.register
    def _(self, event: events.TrajectoryStarted) -> None:
        opening = [{"role": message.role, "text": self._kept(message.content)} for message in event.opening]
        row = Trajectory(
            rollout=self.rollout,
            attempt=self._attempt,
            kind=event.kind,
            parent=None if event.parent is None else self._executions[event.parent],
            batch=event.batch,
            position=event.position,
            depth=event.depth,
            model=escape(event.model)[:200],
            opening=opening,
            tools=storable(event.tools),
            started_at=event.at,
            summary=None if event.summary is None else asdict(event.summary),
        )
        self._trajectories[event.key] = row
        self._fresh.append(row)

    @_record.register
    def _(self, event: events.TurnEnded) -> None:
        row = Turn(
            trajectory=self._trajectories[event.trajectory],
            index=event.index,
            content_id=self._kept(event.content),
            reasoning_id=self._kept(event.reasoning or None),
            reply_id=self._kept(event.reply or None),
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
        self._turns[event.trajectory, event.index] = row
        self._fresh.append(row)

    @_record.register
    def _(self, event: events.ExecutionStarted) -> None:
        row = Execution(
            turn=self._turns[event.trajectory, event.turn],
            position=event.position,
            kind=event.kind,
            name=escape(event.name)[:100],
            call_id=escape(event.call_id)[:200],
            arguments_id=self._kept(event.arguments),
            started_at=event.at,
        )
        self._executions[event.key] = row
        self._fresh.append(row)

    @_record.register
    def _(self, event: events.ExecutionEnded) -> None:
        _change(
            self._executions[event.key],
            output_id=self._kept(event.output),
            shown_id=self._kept(event.shown),
            out_id=self._kept(event.out),
            answer_id=self._kept(event.answer),
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
        _change(
            self._trajectories[event.key],
            finished_at=event.at,
            stop_reason=escape(event.stop_reason)[:40],
            answer_id=self._kept(event.answer),
            error=escape(event.error),
        )

    @_record.register
    def _(self, event: events.RolloutEnded) -> None:
        answer = self._kept(event.answer)
        self._write()  # the sums are those of the rows
        self._update_rollout(
            status=_status_at_end(event),
            stop_reason=escape(event.stop_reason)[:40],
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

    def _write(self) -> None:
        """Stores the rows and texts that events have left: all of a kind at once, parents before children."""
        Text.objects.keep(self._texts.values())
        self._texts.clear()
        while self._fresh:
            ready = [row for row in self._fresh if not _awaits_parent(row)]
            self._fresh = [row for row in self._fresh if _awaits_parent(row)]
            Trajectory.objects.bulk_create(row for row in ready if isinstance(row, Trajectory))
            Turn.objects.bulk_create(row for row in ready if isinstance(row, Turn))
            Execution.objects.bulk_create(row for row in ready if isinstance(row, Execution))

    def _kept(self, body: str | None) -> str | None:
        """The digest of a text, which is stored at the end of the transaction; None stays None."""
        if body is None:
            return None
        key = digest(body)
        self._texts[key] = body
        return key

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


def _awaits_parent(row: _Row) -> bool:
    """Whether what it belongs to is not stored yet."""
    if isinstance(row, Trajectory):
        parent: _Row | None = row.parent
    else:
        parent = row.trajectory if isinstance(row, Turn) else row.turn
    return parent is not None and parent._state.adding


def _change(row: _Row, **columns: Any) -> None:
    """Columns of a row, whether it is stored already or not."""
    if row._state.adding:
        for name, value in columns.items():
            setattr(row, name, value)
    else:
        type(row)._default_manager.filter(pk=row.pk).update(**columns)


def _status_at_end(event: events.RolloutEnded) -> Rollout.Status:
    if event.stop_reason == "cancelled":
        return Rollout.Status.CANCELLED
    return Rollout.Status.FAILED if event.reward is None else Rollout.Status.COMPLETED
