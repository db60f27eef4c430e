"""The neighbours of a rollout: along its arm, and across the arms on the same example."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Q
from django.urls import reverse
from django.utils.http import urlencode

from rlm_runs.models import Rollout

from .multiples import MOST_ROLLOUTS


@dataclass(frozen=True)
class Neighbours:
    """The rollouts around one. `same_example` includes it, in the order of the arms."""

    previous: Rollout | None
    following: Rollout | None
    same_example: tuple[Rollout, ...]

    @property
    def multiples(self) -> str:
        """The address of all rollouts of the example as small multiples; "" for a single one."""
        if len(self.same_example) < 2:
            return ""
        shown = [("rollout", str(rollout.pk)) for rollout in self.same_example[:MOST_ROLLOUTS]]
        return f"{reverse('rollout-multiples')}?{urlencode(shown)}"


def neighbours(rollout: Rollout) -> Neighbours:
    """Returns the rollouts around one. Three queries of a few rows each."""
    place = (rollout.example_position, rollout.repetition)
    arm = Rollout.objects.filter(arm=rollout.arm_id).only("pk", "example_position", "repetition")
    position, repetition = place
    before = Q(example_position__lt=position) | Q(example_position=position, repetition__lt=repetition)
    after = Q(example_position__gt=position) | Q(example_position=position, repetition__gt=repetition)
    across = Rollout.objects.filter(experiment=rollout.arm.experiment_id, example=rollout.example_id)
    return Neighbours(
        previous=arm.filter(before).order_by("-example_position", "-repetition").first(),
        following=arm.filter(after).order_by("example_position", "repetition").first(),
        same_example=tuple(across.for_list().order_by("arm__position", "repetition")),
    )
