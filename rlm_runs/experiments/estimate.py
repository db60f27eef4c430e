"""Estimates of an experiment before anything runs: arms, rollouts, model calls and dollars.

An arm is estimated from the mean of its own earlier rollouts (same settings), else from rollouts of its
environment and scaffold, else from the article's published means of the scaffold on Oolong/real. Calls of a judge
are estimated separately (`judging`). Each model's calls have its own price. Each number comes with its basis, so
that a guess is not mistaken for a measurement.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Avg, Count, F

from ..engine.events import Usage
from ..engine.scaffolds import registry
from ..execution.endpoints import ModelChoice
from ..execution.prices import Prices, prices
from ..models import Rollout
from .judging import Judging, judging_of
from .launch import arm_columns
from .plan import Plan, PlannedArm


@dataclass(frozen=True)
class PerRollout:
    """Means per rollout: calls, and tokens of the root (`main`) and of all sub-LLMs (`sub`).

    `turns` are calls of the root, None if they are not known separately from `calls`. `seconds` is None where no
    rollout was timed.
    """

    calls: float
    main_prompt: float
    main_completion: float
    sub_prompt: float
    sub_completion: float
    turns: float | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class ArmEstimate:
    """The estimate of one arm. `dollars` includes the judge, and is None if a model has no known price.

    `calls` are those of the root and of sub-LLMs. `basis` says what both numbers are based on. `seconds` is the
    sum over its rollouts, None if no rollout like them was timed.
    """

    arm: PlannedArm
    rollouts: int
    calls: int
    judge_calls: int
    dollars: Decimal | None
    basis: str
    seconds: float | None = None


@dataclass(frozen=True)
class Estimate:
    """The estimates of all arms, and their sums."""

    arms: tuple[ArmEstimate, ...]

    @property
    def rollouts(self) -> int:
        """Rollouts of all arms."""
        return sum(arm.rollouts for arm in self.arms)

    @property
    def calls(self) -> int:
        """Model calls of all arms, without judges."""
        return sum(arm.calls for arm in self.arms)

    @property
    def judge_calls(self) -> int:
        """Calls of judges."""
        return sum(arm.judge_calls for arm in self.arms)

    @property
    def dollars(self) -> Decimal | None:
        """Dollars of all arms; None if one of them has no known price."""
        known = [arm.dollars for arm in self.arms if arm.dollars is not None]
        return sum(known, Decimal(0)) if len(known) == len(self.arms) else None

    def wall_seconds(self, *, slots: int) -> float | None:
        """Returns the seconds on this many slots, at least those of one mean rollout. None without slots, or if an
        arm's time is unknown.
        """
        known = [(arm.seconds, arm.rollouts) for arm in self.arms if arm.seconds is not None]
        if not slots or not known or len(known) < len(self.arms):
            return None
        return max(sum(seconds for seconds, _ in known) / slots, *(seconds / n for seconds, n in known), 0.0)


_ESTIMATED = (
    *("turns", "sub_turns"),
    *("main_prompt_tokens", "main_completion_tokens", "sub_prompt_tokens", "sub_completion_tokens"),
)
_FEWEST = 3
"""The number of an arm's rollouts from which its own mean is preferred to that of its environment and scaffold."""


def estimate(plan: Plan) -> Estimate:
    """Returns the estimate of a plan, in one query and one more for each environment with a judge."""
    history = _History(plan)
    listed = prices()
    judging = {environment.name: judging_of(environment) for environment in plan.environments}
    return Estimate(
        tuple(
            _of_arm(plan, arm, history=history, listed=listed, judging=judging[arm.environment.name])
            for arm in plan.arms
        )
    )


def _of_arm(
    plan: Plan, arm: PlannedArm, *, history: _History, listed: Prices, judging: Judging | None
) -> ArmEstimate:
    per_rollout, basis = history.of(arm, settings_hash=arm_columns(arm)["settings_hash"])
    rollouts = plan.spec.examples * plan.spec.repetitions
    turns = per_rollout.calls if per_rollout.turns is None else per_rollout.turns
    costs = [
        _dollars(listed, arm.model, per_rollout.main_prompt, per_rollout.main_completion, calls=turns),
        _dollars(
            *(listed, arm.sub_model, per_rollout.sub_prompt, per_rollout.sub_completion),
            calls=per_rollout.calls if per_rollout.turns is None else per_rollout.calls - per_rollout.turns,
        ),
    ]
    if judging is not None:
        costs.append(_dollars(listed, arm.judge_model, judging.prompt, judging.completion, calls=judging.calls))
    known = [cost for cost in costs if cost is not None]
    return ArmEstimate(
        arm=arm,
        rollouts=rollouts,
        calls=round(per_rollout.calls * rollouts),
        judge_calls=round(judging.calls * rollouts) if judging else 0,
        dollars=sum(known, Decimal(0)) * rollouts if len(known) == len(costs) else None,
        basis=f"{basis}; judge: {judging.basis}" if judging else basis,
        seconds=None if per_rollout.seconds is None else per_rollout.seconds * rollouts,
    )


def _dollars(
    listed: Prices, model: ModelChoice, prompt: float, completion: float, *, calls: float
) -> Decimal | None:
    """Returns the dollars of one rollout's calls to a model; 0 without calls, whatever the model costs."""
    usage = Usage(prompt=round(prompt), completion=round(completion))
    if not usage.prompt and not usage.completion:
        return Decimal(0)
    return listed.dollars(model.name, usage, calls=max(1, round(calls)))


class _History:
    """Means of the stored rollouts, by arm and by environment and scaffold."""

    def __init__(self, plan: Plan) -> None:
        alike = {
            "arm__environment__in": {arm.environment.name for arm in plan.arms},
            "arm__scaffold__in": {arm.scaffold for arm in plan.arms},
        }
        rows = (
            Rollout.objects.filter(status=Rollout.Status.COMPLETED, fork=None, **alike)
            .filter(**{f"{column}__isnull": False for column in _ESTIMATED})  # an import may lack them
            .values("arm__environment", "arm__scaffold", "arm__settings_hash")
            .annotate(
                n=Count("id"),
                calls=Avg(F("turns") + F("sub_turns")),
                turns_of_root=Avg("turns"),
                main_prompt=Avg("main_prompt_tokens"),
                main_completion=Avg("main_completion_tokens"),
                sub_prompt=Avg("sub_prompt_tokens"),
                sub_completion=Avg("sub_completion_tokens"),
                seconds=Avg("seconds"),
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
    names = ("calls", "main_prompt", "main_completion", "sub_prompt", "sub_completion", "turns_of_root")
    timed = [(row["seconds"], row["n"]) for row in rows if row["seconds"] is not None]
    seconds = sum(mean * each for mean, each in timed) / sum(each for _, each in timed) if timed else None
    means = (float(sum(row[name] * row["n"] for row in rows)) / n for name in names)
    calls, main_prompt, main_completion, sub_prompt, sub_completion, turns = means
    return PerRollout(calls, main_prompt, main_completion, sub_prompt, sub_completion, turns, seconds)
