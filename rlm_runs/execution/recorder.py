"""The recorder turns events into rows. It is the only way into the store, for live rollouts and imported files.

Events that arrive together share a transaction; the turns of a live rollout are committed when they end. The sums
of a rollout are computed from its rows in the transaction that ends it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import singledispatchmethod
from typing import Any

from django.db import transaction

from ..analysis.stored_traces import StoredTrace
from ..engine import events
from ..models import Execution, Rollout, RolloutNote, Trajectory, Turn
from ..models.texts import digest, escape, storable
from .rollups import roll_up
from .trace_rows import (
    EXECUTION_KEYS,
    TRAJECTORY_KEYS,
    TURN_KEYS,
    PendingRows,
    Row,
    digest_column,
    open_cursor,
    update_rows,
)


class ClaimLost(Exception):
    """The attempt may not end the rollout: it was cancelled, or another worker took it over."""


@dataclass
class Recorder:
    """The recorder of one attempt of a rollout. It takes events in order, from one thread at a time.

    `rollout` must be running. Its `attempt` at construction is the one that is recorded. `trace` is what a resumed
    attempt has stored already. With `rescoring`, the id of a rescoring, the events are those of its judge, and the
    rollout itself stays unchanged.
    """

    rollout: Rollout
    trace: StoredTrace = field(default_factory=StoredTrace)
    rescoring: int | None = None

    def __post_init__(self) -> None:
        self._attempt = self.rollout.attempt
        self._started_at: datetime | None = None
        self._seconds_before = 0.0
        self._trajectories = dict(self.trace.trajectories)
        self._turns = dict(self.trace.turns)
        self._executions = dict(self.trace.executions)
        self._models: dict[int, str] = {}
        self._rollout_columns: dict[str, Any] = {}
        self._ended: events.RolloutEnded | None = None
        self._notes: list[RolloutNote] = []
        self.pending = PendingRows()

    def record(self, event: events.Event) -> None:
        """Stores one event. Raises ClaimLost at the end of an attempt that no longer counts."""
        self.record_all([event])

    def record_all(self, told: Iterable[events.Event]) -> None:
        """Stores events in one transaction. Raises ClaimLost like `record`."""
        try:
            with transaction.atomic():
                for event in told:
                    self.add(event)
                self.pending.write()
                self.update_rollout()
        finally:
            self.forget()

    def forget(self) -> None:
        """Drops pending rows, whether they were written or not."""
        self.pending.clear()
        self._rollout_columns = {}
        self._notes = []

    def update_rollout(self) -> None:
        """Writes the rollout's own columns, after its rows, because its sums are read from them. Raises
        ClaimLost.
        """
        if self._ended is not None:
            self._rollout_columns |= roll_up(self.rollout, attempt=self._attempt, ended=self._ended)
        if not self._rollout_columns:
            return
        row = {"id": self.rollout.pk, **self._rollout_columns}
        # A new attempt may begin in the same claim, so the row may have an earlier attempt number.
        claim = f"r.claims = {self.rollout.claims:d} AND r.attempt <= {self._attempt:d}"
        with open_cursor() as cursor:
            changed = update_rows(cursor, Rollout, [row], where=f"r.status = 'running' AND {claim}")
        if changed != 1 and not self.end_is_stored():
            raise ClaimLost(f"rollout {self.rollout.pk} is no longer in attempt {self._attempt}")
        RolloutNote.objects.bulk_create(self._notes)

    def end_is_stored(self) -> bool:
        """Returns whether this end is stored already, because the connection broke after the commit."""
        if self._ended is None:
            return False
        return Rollout.objects.filter(
            pk=self.rollout.pk, attempt=self._attempt, finished_at=self._ended.at
        ).exists()

    @singledispatchmethod
    def add(self, event: events.Event) -> None:
        """Turns an event into pending rows."""
        raise TypeError(f"not an event: {event!r}")

    @add.register
    def _(self, event: events.RolloutStarted) -> None:
        self._started_at = event.at
        self._rollout_columns |= {
            "started_at": event.at,
            "sandbox_backend": event.sandbox_backend,
            "attempt": self._attempt,
            "cut_off": False,
        }

    @add.register
    def _(self, event: events.RolloutResumed) -> None:
        self._started_at, self._seconds_before = event.at, event.seconds
        self._rollout_columns |= {"sandbox_backend": event.sandbox_backend}
        note = RolloutNote(kind=RolloutNote.Kind.RESUMED, at=event.at, turn=event.turns, seconds=event.seconds)
        self.note(note)

    def note(self, note: RolloutNote) -> None:
        """Adds a note to the rollout's log. It is written with the next events."""
        note.rollout, note.attempt, note.worker = self.rollout, self._attempt, self.rollout.worker
        self._notes.append(note)

    @add.register
    def _(self, event: events.TrajectoryStarted) -> None:
        self._models[event.key] = escape(event.model)[:200]
        if event.key in self._trajectories:
            self.pending.update(Trajectory, self._trajectories[event.key], dict(_OPEN))
            return
        opening = [{"role": message.role, "text": self._text(message.content)} for message in event.opening]
        key = self._trajectories[event.key] = TRAJECTORY_KEYS.next()
        row: Row = {
            "id": key,
            "rollout_id": self.rollout.pk,
            "attempt": self._attempt,
            "kind": event.kind,
            "parent_id": None if event.parent is None else self._executions[event.parent],
            "batch": event.batch,
            "position": event.position,
            "depth": event.depth,
            "model": self._models[event.key],
            "opening": opening,
            "tools": storable(event.tools),
            "started_at": event.at,
            **_OPEN,
            "summary": None if event.summary is None else asdict(event.summary),
            "rescoring_id": self.rescoring,
        }
        self.pending.insert(Trajectory, row)

    @add.register
    def _(self, event: events.TurnEnded) -> None:
        key = self._turns[event.trajectory, event.index] = TURN_KEYS.next()
        row: Row = {
            "id": key,
            "trajectory_id": self._trajectories[event.trajectory],
            "index": event.index,
            "content_id": digest_column(self._text(event.content)),
            "reasoning_id": digest_column(self._text(event.reasoning or None)),
            "reply_id": digest_column(self._text(event.reply or None)),
            "tool_calls": self._tool_calls(event),
            "finish_reason": escape(event.finish_reason)[:40],
            "prompt_tokens": event.usage.prompt,
            "cached_tokens": event.usage.cached,
            "cache_write_tokens": event.usage.cache_write,
            "completion_tokens": event.usage.completion,
            "reasoning_tokens": event.usage.reasoning,
            "tokens_estimated": event.usage.estimated,
            "sent_tokens": event.usage.sent,
            "usage": storable(event.usage.raw),
            "cost": event.cost,
            "price_version": event.price_version,
            "provider_cost": event.provider_cost,
            "ended_at": event.at,
            "seconds": event.seconds,
            "retries": event.retries,
            "retry_seconds": event.retry_seconds,
            "failed_tries": [_failed_try(failed) for failed in event.failed_tries],
            "first_token_seconds": event.first_token_seconds,
            "tokens_per_second": event.tokens_per_second,
            "error": escape(event.error),
        }
        self.pending.insert(Turn, row)
        self.pending.models[key] = self._models[event.trajectory]
        self.pending.experiments[key] = self.rollout.experiment_id

    @add.register
    def _(self, event: events.ExecutionStarted) -> None:
        if event.key in self._executions:
            again = {"started_at": event.at, **_UNFINISHED}
            self.pending.update(Execution, self._executions[event.key], again)
            return
        key = self._executions[event.key] = EXECUTION_KEYS.next()
        row: Row = {
            "id": key,
            "turn_id": self._turns[event.trajectory, event.turn],
            "position": event.position,
            "kind": event.kind,
            "name": escape(event.name)[:100],
            "call_id": escape(event.call_id)[:200],
            "arguments_id": digest_column(self._text(event.arguments)),
            "started_at": event.at,
            **_UNFINISHED,
        }
        self.pending.insert(Execution, row)

    @add.register
    def _(self, event: events.ExecutionEnded) -> None:
        changes: Row = {
            "output_id": digest_column(self._text(event.output)),
            "shown_id": digest_column(self._text(event.shown)),
            "out_id": digest_column(self._text(event.out)),
            "answer_id": digest_column(self._text(event.answer)),
            "ready": event.ready,
            "output_chars": event.output_chars,
            "truncated": event.truncated,
            "error_type": escape(event.error_type)[:200],
            "error_message": escape(event.error_message),
            "timed_out": event.timed_out,
            "state_lost": event.state_lost,
            "finished": True,
            "seconds": event.seconds,
            "cpu_seconds": event.cpu_seconds,
            "peak_memory_bytes": event.peak_memory_bytes,
            "repairs": ",".join(event.repairs)[:100],
            "variables": storable(event.variables),
        }
        self.pending.update(Execution, self._executions[event.key], changes)

    @add.register
    def _(self, event: events.TrajectoryEnded) -> None:
        changes: Row = {
            "finished_at": event.at,
            "stop_reason": escape(event.stop_reason)[:40],
            "answer_id": digest_column(self._text(event.answer)),
            "error": escape(event.error),
        }
        self.pending.update(Trajectory, self._trajectories[event.key], changes)

    @add.register
    def _(self, event: events.RolloutEnded) -> None:
        self._ended = event
        self._rollout_columns |= {
            "status": _status_at_end(event),
            "stop_reason": escape(event.stop_reason)[:40],
            "reward": event.reward,
            "metrics": storable(event.metrics),
            "answer_id": digest_column(self._text(event.answer)),
            "error": escape(event.error),
            "error_boundary": event.boundary,
            "finished_at": event.at,
            "seconds": self._seconds_until(event),
            "lease_expires_at": None,
            "attempt": self._attempt,
            "cut_off": False,
        }

    def _tool_calls(self, event: events.TurnEnded) -> Any:
        """Returns the calls of a turn as a column value; None without any."""
        if not event.tool_calls:
            return None
        calls = [
            {"id": escape(call.id)[:200], "name": escape(call.name)[:100], "arguments": self._text(call.arguments)}
            for call in event.tool_calls
        ]
        return calls

    def _text(self, body: str | None) -> str | None:
        """Returns the digest of a text, which is written with the rows. None stays None."""
        if body is None:
            return None
        key = digest(body)
        self.pending.texts[key] = body
        return key

    def _seconds_until(self, event: events.RolloutEnded) -> float | None:
        """Returns the seconds of the attempt without scoring; for an import, those in the file."""
        if event.reported is not None:
            return event.reported.seconds
        if self._started_at is None:
            return None
        since = (event.at - self._started_at).total_seconds()
        return self._seconds_before + since - event.scoring_seconds


_OPEN: Row = {"finished_at": None, "stop_reason": "", "answer_id": None, "error": ""}
_UNFINISHED: Row = {
    "output_id": None,
    "shown_id": None,
    "out_id": None,
    "answer_id": None,
    "ready": None,
    "output_chars": 0,
    "truncated": False,
    "error_type": "",
    "error_message": "",
    "timed_out": False,
    "state_lost": False,
    "finished": False,
    "seconds": None,
    "cpu_seconds": None,
    "peak_memory_bytes": None,
    "repairs": "",
    "variables": [],
}


def _failed_try(failed: events.FailedTry) -> dict[str, Any]:
    told: dict[str, Any] = storable(asdict(failed) | {"at": failed.at.isoformat()})
    return told


def _status_at_end(event: events.RolloutEnded) -> Rollout.Status:
    if event.stop_reason == "cancelled":
        return Rollout.Status.CANCELLED
    return Rollout.Status.FAILED if event.reward is None else Rollout.Status.COMPLETED
