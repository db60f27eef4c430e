"""A selection of an experiment's ended rollouts: by outcome, of one arm, or by id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Q

from ..models import Experiment, Rollout
from ..models.experiments import RolloutQuerySet

_UNJUDGED = ("unjudged", "scoring_error")
_TOO_LONG = "prompt_too_long"

OUTCOMES = {
    "failed": Q(status=Rollout.Status.FAILED) & ~Q(stop_reason__in=[*_UNJUDGED, _TOO_LONG]),
    "too_long": Q(status=Rollout.Status.FAILED, stop_reason=_TOO_LONG),
    "unjudged": Q(status=Rollout.Status.FAILED, stop_reason__in=_UNJUDGED),
    "cancelled": Q(status=Rollout.Status.CANCELLED),
}
"""Outcome → the condition of rollouts that ended in it, without a reward."""
HAS_SCORABLE_ANSWER = Q(answer__isnull=False) & (
    Q(status=Rollout.Status.COMPLETED) | Q(status=Rollout.Status.FAILED, stop_reason__in=_UNJUDGED)
)
"""The condition for a rollout that ran to its end, scored or not."""


class Refused(Exception):
    """An action cannot be taken. The message says why, for the person who requested it."""


@dataclass(frozen=True)
class Selection:
    """Rollouts of one arm (its id), or those with these ids; without either, all of the experiment."""

    arm: int | None = None
    rollouts: Sequence[int] = ()

    def of(self, experiment: Experiment) -> RolloutQuerySet:
        """Returns the rollouts. Raises Refused if an arm or a rollout is not the experiment's."""
        found = experiment.rollouts()
        if self.arm is not None:
            if not experiment.arms.filter(pk=self.arm).exists():
                raise Refused(f"{experiment.slug} has no arm {self.arm}")
            found = found.filter(arm=self.arm)
        if self.rollouts:
            found = found.filter(pk__in=self.rollouts)
            missing = set(self.rollouts) - set(found.values_list("pk", flat=True))
            if missing:
                raise Refused(f"{experiment.slug} has no rollout {min(missing)} there")
        return found

    def described(self) -> dict[str, object]:
        """Returns the selection as details of a log entry; empty for the whole experiment."""
        told: dict[str, object] = {}
        if self.arm is not None:
            told["arm"] = self.arm
        if self.rollouts:
            told["chosen"] = len(self.rollouts)
        return told


def with_outcomes(rollouts: RolloutQuerySet, outcomes: Sequence[str]) -> RolloutQuerySet:
    """Returns the rollouts that ended in one of the outcomes. Raises Refused for an unknown outcome."""
    wanted = Q(pk__in=[])
    for outcome in outcomes:
        if outcome not in OUTCOMES:
            raise Refused(f"unknown outcome {outcome!r}; allowed: {', '.join(OUTCOMES)}")
        wanted |= OUTCOMES[outcome]
    return rollouts.filter(wanted)
