"""Running forks: the REPL is rebuilt, differences are stored, and a fork may wait for its reader.

A fork never restarts from scratch, because without its recorded part it would be another rollout.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction

from ..engine.errors import HeldForReader
from ..engine.recording import Recording
from ..engine.replay import Difference, Replay, comparable
from ..models import Fork, Rollout, RolloutNote
from ..models.texts import storable
from . import queue
from .patience import patiently
from .selection import Refused

_MOST = 100
"""The maximum number of differences kept of a rebuild."""
_CHARS = 400
"""The number of characters kept of a text, from a little before its first difference."""
_BEFORE = 80


def is_fork(rollout: Rollout) -> bool:
    """Returns whether a rollout is a fork."""
    return Fork.objects.filter(rollout=rollout).exists()


def replay_of(rollout: Rollout, recording: Recording) -> Replay:
    """Returns a replay of a fork's recording. It stores the differences.

    It raises HeldForReader before the first live call if a reader must look at them first.
    """
    differences: list[Difference] = []

    def before_live() -> None:
        hold = patiently(lambda: _store_differences(rollout, differences))
        if hold == Fork.Hold.ALWAYS or (hold == Fork.Hold.DIFFERENT and differences):
            raise HeldForReader

    return Replay(recording, on_difference=differences.append, before_live=before_live)


def _store_differences(rollout: Rollout, differences: Sequence[Difference]) -> str:
    """Stores the differences of a rebuild. Returns when the fork must wait."""
    fork = Fork.objects.get(rollout=rollout)
    fork.differences = storable([_row(each) for each in differences[:_MOST]])
    fork.save(update_fields=["differences"])
    return fork.hold


def hold(rollout: Rollout) -> None:
    """Ends a worker's hold on a fork that waits for its reader."""
    RolloutNote.excuse_last_resume(rollout)
    queue.end_cut_off(rollout, status=Rollout.Status.CANCELLED, stop_reason=Fork.HELD, error="")


def go_on(fork: Fork) -> None:
    """Queues a waiting fork, whatever its differences. Raises Refused if it does not wait."""
    with transaction.atomic():
        waiting = Rollout.objects.filter(
            pk=fork.rollout_id, status=Rollout.Status.CANCELLED, stop_reason=Fork.HELD
        )
        queued = waiting.update(
            status=Rollout.Status.QUEUED,
            stop_reason="",
            error_boundary="",
            finished_at=None,
            worker="",
            lease_expires_at=None,
            cut_off=True,
        )
        if not queued:
            raise Refused("it does not wait")
        Fork.objects.filter(pk=fork.pk).update(hold=Fork.Hold.NEVER)
        transaction.on_commit(queue.notify_workers)


def _row(difference: Difference) -> Mapping[str, Any]:
    recorded, present = _excerpts_around_difference(difference.recorded, difference.now)
    return {
        "what": difference.what,
        "recorded": recorded,
        "now": present,
        "depth": difference.depth,
        "turn": difference.turn,
        "cell": difference.cell,
    }


def _excerpts_around_difference(recorded: str, present: str) -> tuple[str, str]:
    """Returns the parts of two texts from a little before their first relevant difference."""
    if len(recorded) <= _CHARS and len(present) <= _CHARS:
        return recorded, present
    lines = zip(recorded.splitlines(keepends=True), present.splitlines(keepends=True), strict=False)
    start, offset = 0, 0
    for then, other in lines:
        if comparable(then) != comparable(other):
            offset = next((at for at, (a, b) in enumerate(zip(then, other, strict=False)) if a != b), 0)
            break
        start += len(then)
    start = max(0, start + offset - _BEFORE)
    return recorded[start : start + _CHARS], present[start : start + _CHARS]
