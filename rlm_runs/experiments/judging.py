"""The judge's calls and tokens per rollout of an environment: from judged rollouts, else an assumption."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Sum

from ..engine.environments.base import Environment, Example
from ..models import Arm, Rollout, Trajectory, Turn

_NEWEST = 200
"""The maximum number of judged rollouts in a mean."""
_FEWEST = 3
_ASSUMED = (1.0, 900.0, 100.0)
"""A judge's calls, prompt and completion tokens: its rules, a short question and answer, some reasoning."""


@dataclass(frozen=True)
class Judging:
    """Means per rollout, and their basis."""

    calls: float
    prompt: float
    completion: float
    basis: str


def judging_of(environment: Environment[Any]) -> Judging | None:
    """Returns the judge's part in a rollout of an environment; None if the environment scores by itself."""
    if not has_judge(environment):
        return None
    arms = Arm.objects.filter(environment=environment.name).values("pk")
    judged = (
        Rollout.objects.filter(arm__in=arms, status=Rollout.Status.COMPLETED, reported=False, fork=None)
        .order_by("-pk")
        .values_list("pk", flat=True)[:_NEWEST]
    )
    found = Turn.objects.filter(
        trajectory__rollout__in=list(judged), trajectory__kind=Trajectory.Kind.JUDGE, error=""
    ).aggregate(
        rollouts=Count("trajectory__rollout", distinct=True),
        calls=Count("pk"),
        prompt=Sum("prompt_tokens"),
        completion=Sum("completion_tokens"),
    )
    n = found["rollouts"]
    if n < _FEWEST or found["prompt"] is None or found["completion"] is None:
        calls, prompt, completion = _ASSUMED
        return Judging(calls, prompt, completion, f"assumed {prompt:.0f} + {completion:.0f} tokens a rollout")
    basis = f"mean of {n:,} judged rollouts"
    return Judging(found["calls"] / n, found["prompt"] / n, found["completion"] / n, basis)


def has_judge(environment: Environment[Any]) -> bool:
    """Returns whether a judge gives the reward."""
    if type(environment).judge_prompt is Environment.judge_prompt:
        return False
    try:
        return environment.judge_prompt(Example(prompt="", answer=""), "") is not None
    except (LookupError, TypeError, ValueError, AttributeError):
        return True  # its prompt needs more of an example
