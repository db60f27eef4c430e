"""Resuming an interrupted attempt: its recording, and whether it can be resumed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import QuerySet

from ..analysis.stored_traces import StoredTrace, stored_trace
from ..engine import events
from ..engine.recording import Recording
from ..models import Rollout, RolloutNote, Turn

_MOST_IN_VAIN = 3
"""The number of resumes without a new turn after which the attempt fails, because it may be what kills its
workers.
"""


@dataclass(frozen=True)
class Continuation:
    """An attempt to resume. `refusal` says why it cannot be resumed, "" if it can."""

    trace: StoredTrace
    recording: Recording
    refusal: str = ""


def continuation_of(rollout: Rollout) -> Continuation | None:
    """Returns the recorded attempt of a claimed rollout; None if the attempt is new."""
    if not rollout.cut_off:
        return None
    try:
        trace = stored_trace(rollout, attempt=rollout.attempt)
    except KeyError as missing:  # deleted with another experiment, between a turn and the call that it asked for
        return Continuation(StoredTrace(), Recording(), refusal=f"text {missing} is gone")
    seconds = _seconds_of(rollout, trace.events)
    return Continuation(trace, Recording.of(trace.events, seconds=seconds), refusal=_refusal(rollout))


def _refusal(rollout: Rollout) -> str:
    counted = _resumes(rollout).exclude(reason=RolloutNote.EXCUSED)
    resumed = list(counted.order_by("-pk")[:_MOST_IN_VAIN])
    if len(resumed) < _MOST_IN_VAIN:
        return ""
    turns = Turn.objects.filter(trajectory__rollout=rollout, trajectory__attempt=rollout.attempt)
    if turns.filter(ended_at__gt=resumed[-1].at).exists():
        return ""
    return f"{_MOST_IN_VAIN} workers in a row ended after turn {resumed[-1].turn}"


def _seconds_of(rollout: Rollout, trace: Iterable[events.Event]) -> float:
    """Returns the seconds for which the attempt has run, without the time in which no worker ran it."""
    resumed = _resumes(rollout).last()
    before, since = (resumed.seconds or 0.0, resumed.at) if resumed else (0.0, rollout.started_at)
    times = [at for event in trace if (at := _time_of(event)) is not None]
    if since is None or not times:
        return before
    return before + max(0.0, (max(times) - since) / timedelta(seconds=1))


def _resumes(rollout: Rollout) -> QuerySet[RolloutNote]:
    return rollout.notes.filter(attempt=rollout.attempt, kind=RolloutNote.Kind.RESUMED).order_by("pk")


def _time_of(event: events.Event) -> datetime | None:
    return None if isinstance(event, events.ExecutionEnded) else event.at
