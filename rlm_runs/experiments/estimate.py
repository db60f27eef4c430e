"""Estimates of an experiment before anything runs: arms, rollouts, model calls and dollars.

An arm is estimated from the mean of its own earlier rollouts (same settings), else from rollouts of its
environment and scaffold, else from the article's published means of the scaffold on Oolong/real. Each number has
its basis beside it, so that a guess is not taken for a measurement.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Avg, Count, F

from ..engine.events import Usage
from ..engine.scaffolds import registry
from ..execution.prices import Prices, prices
from ..models import Rollout
from .launch import arm_columns
from .spec import Plan, PlannedArm


@dataclass(frozen=True)
class PerRollout:
    """Means per rollout; tokens of the root (`main`) and of all sub-LLMs (`sub`)."""

    calls: float
    main_prompt: float
    main_completion: float
    sub_prompt: float
    sub_completion: float


@dataclass(frozen=True)
class ArmEstimate:
    """One arm's share. `dollars` is None where a model has no known price."""

    arm: PlannedArm
    rollouts: int
    calls: int
    dollars: Decimal | None
    basis: str


@dataclass(frozen=True)
class Estimate:
    """All arms, and their sums."""

    arms: tuple[ArmEstimate, ...]

    @property
    def rollouts(self) -> int:
        """Rollouts of all arms."""
        return sum(arm.rollouts for arm in self.arms)

    @property
    def calls(self) -> int:
        """Model calls of all arms, judges not counted."""
        return sum(arm.calls for arm in self.arms)

    @property
    def dollars(self) -> Decimal | None:
        """Dollars of all arms; None where one of them has no known price."""
        known = [arm.dollars for arm in self.arms if arm.dollars is not None]
        return sum(known, Decimal(0)) if len(known) == len(self.arms) else None


_ESTIMATED = (
    *("turns", "sub_turns"),
    *("main_prompt_tokens", "main_completion_tokens", "sub_prompt_tokens", "sub_completion_tokens"),
)
_FEWEST = 3
"""Rollouts of an arm from which its own mean is worth more than that of its environment and scaffold."""


def estimate(plan: Plan) -> Estimate:
    """The estimate of a plan, in one query."""
    history = _History()
    listed = prices()
    return Estimate(tuple(_of_arm(plan, arm, history=history, listed=listed) for arm in plan.arms))


def _of_arm(plan: Plan, arm: PlannedArm, *, history: _History, listed: Prices) -> ArmEstimate:
    per_rollout, basis = history.of(arm, settings_hash=arm_columns(arm)["settings_hash"])
    rollouts = plan.spec.examples * plan.spec.repetitions
    main = listed.dollars(arm.model.name, _usage(per_rollout.main_prompt, per_rollout.main_completion))
    sub = listed.dollars(arm.sub_model.name, _usage(per_rollout.sub_prompt, per_rollout.sub_completion))
    return ArmEstimate(
        arm=arm,
        rollouts=rollouts,
        calls=round(per_rollout.calls * rollouts),
        dollars=None if main is None or sub is None else (main + sub) * rollouts,
        basis=basis,
    )


def _usage(prompt: float, completion: float) -> Usage:
    return Usage(prompt=round(prompt), completion=round(completion))


class _History:
    """Means of the rollouts in the store, by arm and by environment and scaffold."""

    def __init__(self) -> None:
        rows = (
            Rollout.objects.filter(status=Rollout.Status.COMPLETED)
            .filter(**{f"{column}__isnull": False for column in _ESTIMATED})  # an import may not tell them
            .values("arm__environment", "arm__scaffold", "arm__settings_hash")
            .annotate(
                n=Count("id"),
                calls=Avg(F("turns") + F("sub_turns")),
                main_prompt=Avg("main_prompt_tokens"),
                main_completion=Avg("main_completion_tokens"),
                sub_prompt=Avg("sub_prompt_tokens"),
                sub_completion=Avg("sub_completion_tokens"),
            )
        )
        self._rows: list[Mapping[str, Any]] = list(rows)

    def of(self, arm: PlannedArm, *, settings_hash: str) -> tuple[PerRollout, str]:
        """Returns the means of a rollout of this arm, and their basis."""
        alike = [
            row
            for row in self._rows
            if (row["arm__environment"], row["arm__scaffold"]) == (arm.environment.name, arm.scaffold)
        ]
        same = [row for row in alike if row["arm__settings_hash"] == settings_hash]
        for rows, what in ((same, "this arm"), (alike, f"{arm.environment.name} × {arm.scaffold}")):
            n = sum(row["n"] for row in rows)
            if n >= _FEWEST:
                return _mean(rows, n=n), f"mean of {n:,} rollouts of {what}"
        means, title = registry.published_means(arm.scaffold)
        of_whom = "" if title == arm.driver.title else f" of {title}"
        return PerRollout(*astuple(means)), f"the article's means{of_whom} on Oolong/real"


def _mean(rows: list[Mapping[str, Any]], *, n: int) -> PerRollout:
    names = ("calls", "main_prompt", "main_completion", "sub_prompt", "sub_completion")
    return PerRollout(*(float(sum(row[name] * row["n"] for row in rows)) / n for name in names))
