"""The history of a rollout: its earlier attempts, and outcomes that a rescoring replaced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rlm_runs.models import Attempt, Rescoring, Rollout


@dataclass(frozen=True)
class AttemptHistory:
    """The attempts of a rollout. Each attempt that ended and was retried has its own outcome."""

    rollout: Rollout
    ended: Mapping[int, Attempt]

    @classmethod
    def of(cls, rollout: Rollout) -> AttemptHistory:
        """Reads the attempts. One query, none for a first attempt that runs or counts."""
        waits = rollout.status == Rollout.Status.QUEUED
        attempts = rollout.attempts.all() if rollout.attempt > (0 if waits else 1) else ()
        return cls(rollout, {attempt.number: attempt for attempt in attempts})

    @property
    def last(self) -> int:
        """The number of the last attempt; of the next one, if a retry waits for a worker."""
        return self.rollout.attempt + (self.rollout.attempt in self.ended)

    @property
    def numbers(self) -> range:
        """The numbers of all attempts."""
        return range(1, self.last + 1)

    def shown(self, number: int) -> Rollout:
        """Returns the rollout with the outcome of an attempt; unchanged if the attempt has none."""
        attempt = self.ended.get(number)
        return attempt.shown(self.rollout) if attempt else self.rollout

    def was_cut_off(self, number: int) -> bool:
        """Returns whether an earlier attempt was cut off before it ended."""
        return number < self.last and number not in self.ended


def rescorings_of(rollout: Rollout, *, attempt: int) -> Sequence[Rescoring]:
    """Returns the rescorings of an attempt's answer, the latest first. At most two queries."""
    if rollout.status not in Rollout.FINISHED:
        return ()
    found = rollout.rescorings.filter(attempt=attempt).select_related("action").prefetch_related("judges")
    return list(found.order_by("-pk")[:20])
