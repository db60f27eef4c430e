"""Stored prompts of arms: the opening messages of one root trajectory per arm, on a common example.

They are not rebuilt from code, which may have changed: the trajectory holds what the model received.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.db.models import Case, Count, F, Value, When

from ..models import Trajectory
from .transcripts import EMPTY, Excerpt, excerpts

_CHARS = 12_000
"""Characters kept of each prompt; prompts with input data are far longer."""
_BETWEEN = "\n\n"


@dataclass(frozen=True)
class OpeningPrompt:
    """The opening of a trajectory: role → the beginning of its messages."""

    arm: int
    rollout: int
    example: int
    by_role: Mapping[str, Excerpt]


def opening_prompts(arms: Sequence[int]) -> dict[int, OpeningPrompt]:
    """Returns a map of arm id → its opening on the example that most of these arms have a trajectory for.

    An arm without that example uses another one; an arm without trajectories is missing. Three queries.
    """
    roots = Trajectory.objects.filter(
        kind=Trajectory.Kind.ROOT, rollout__arm__in=arms, attempt=F("rollout__attempt")
    ).exclude(opening=[])
    example = (
        roots.values("rollout__example")
        .annotate(arms=Count("rollout__arm", distinct=True))
        .order_by("-arms", "rollout__example")
        .values_list("rollout__example", flat=True)
        .first()
    )
    is_other = Case(When(rollout__example=example, then=Value(0)), default=Value(1))
    rows = list(
        roots.annotate(is_other=is_other)
        .order_by("rollout__arm", "is_other", "rollout__example", "rollout__repetition")
        .distinct("rollout__arm")
        .values_list("rollout__arm", "rollout", "rollout__example", "opening")
    )
    texts = excerpts((message["text"] for *_, opening in rows for message in opening), chars=_CHARS)
    return {
        arm: OpeningPrompt(arm=arm, rollout=rollout, example=on, by_role=_by_role(opening, texts))
        for arm, rollout, on, opening in rows
    }


def _by_role(opening: Iterable[Mapping[str, str]], texts: Mapping[str, Excerpt]) -> dict[str, Excerpt]:
    """Returns the messages of each role, one after the other."""
    parts: dict[str, list[Excerpt]] = defaultdict(list)
    for message in opening:
        parts[message["role"]].append(texts.get(message["text"], EMPTY))
    return {
        role: Excerpt(
            text=_BETWEEN.join(part.text for part in said),
            chars=sum(part.chars for part in said) + len(_BETWEEN) * (len(said) - 1),
        )
        for role, said in parts.items()
    }
