"""Estimated costs of actions on existing rollouts, from the mean cost of the same action before."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.db.models import Avg, Count, Sum

from ..engine.environments.base import Environment
from ..engine.environments.base import Example as EngineExample
from ..engine.environments.registry import REGISTRY
from ..models import Arm, Rollout, Trajectory
from ..models.experiments import RolloutQuerySet


def of_running_again(rollouts: RolloutQuerySet) -> Decimal | None:
    """Returns the estimated cost of running these rollouts again, from the mean of each arm's completed rollouts.

    None if an arm has no completed rollout with a known cost.
    """
    counts = dict(rollouts.order_by().values_list("arm").annotate(n=Count("pk")))
    completed = Rollout.objects.filter(arm__in=counts, status=Rollout.Status.COMPLETED)
    means = dict(completed.order_by().values_list("arm").annotate(mean=Avg("cost")))
    if any(means.get(arm) is None for arm in counts):
        return None
    return sum((means[arm] * n for arm, n in counts.items()), Decimal(0))


def of_judging(rollouts: RolloutQuerySet, *, judge_model: str) -> tuple[int, Decimal | None]:
    """Returns how many of these answers a judge scores, and the cost, from the mean of that judge's earlier calls.

    The cost is None if the judge was never asked, or if one of its calls has no price.
    """
    counts = dict(rollouts.order_by().values_list("arm").annotate(n=Count("pk")))
    calls, cost = 0, Decimal(0)
    unknown = False
    for arm in Arm.objects.filter(pk__in=counts):
        if not _asks_judge(arm):
            continue
        calls += counts[arm.pk]
        mean = _mean_of_judge(judge_model or arm.judge_model or arm.model)
        if mean is None:
            unknown = True
        else:
            cost += mean * counts[arm.pk]
    return calls, None if unknown else cost


def _asks_judge(arm: Arm) -> bool:
    """Returns whether the arm's environment uses a judge. False for an unknown environment or obsolete
    settings.
    """
    environment_type = REGISTRY.get(arm.environment)
    if environment_type is None:
        return False
    try:
        environment: Environment[Any] = environment_type(
            environment_type.settings_type(**arm.environment_settings)
        )
        return environment.judge_prompt(EngineExample(prompt="", answer=""), "") is not None
    except Exception:  # an environment's own code, called with an example that it may not handle
        return True


def _mean_of_judge(model: str) -> Decimal | None:
    asked = Trajectory.objects.filter(kind=Trajectory.Kind.JUDGE, model=model).order_by("-pk")[:500]
    known = Trajectory.objects.filter(pk__in=list(asked.values_list("pk", flat=True)))
    found = known.filter(turns__isnull=False).aggregate(n=Count("pk", distinct=True), cost=Sum("turns__cost"))
    return found["cost"] / found["n"] if found["n"] and found["cost"] is not None else None
