"""The arms of an experiment in numbers, the comparisons between them, and the best of each experiment."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast

from django.db.models import Avg, Count, Q, Sum

from ..models import Arm, Experiment, Rollout
from ..models.experiments import RolloutQuerySet, Scaffold
from ..statistics import Interval, Paired, compare_paired, mean_interval
from .counting import BEGUN_AND_ENDED, CANCELLED, COMPLETED, FAILED, TOO_LONG, Unscored
from .differences import differing_settings


@dataclass(frozen=True)
class ArmSummary:
    """One arm and what its rollouts came to. Means of tokens, calls and seconds are over the rollouts that ran.

    `differs` are the settings in which it differs from other arms; `group` what it shares with those that it
    competes with, `series` what sets it apart from them.
    """

    pk: int
    position: int
    environment: str
    scaffold: str
    scaffold_name: str
    model: str
    simulated: bool
    process_sandbox: bool
    differs: tuple[tuple[str, str], ...]
    group: str
    series: str
    total: int
    scored: int
    too_long: int
    failed: int
    cancelled: int
    unfinished: int
    counted: int
    reward: Interval | None
    prompt_tokens: float | None
    completion_tokens: float | None
    sub_prompt_tokens: float | None
    sub_completion_tokens: float | None
    sub_calls: float | None
    turns: float | None
    seconds: float | None
    mean_cost: Decimal | None
    total_cost: Decimal
    priced: int
    unpriced: int

    @property
    def sub_tokens(self) -> float | None:
        """Prompt and completion tokens of the sub-LLMs, mean per rollout."""
        if self.sub_prompt_tokens is None or self.sub_completion_tokens is None:
            return None
        return self.sub_prompt_tokens + self.sub_completion_tokens


@dataclass(frozen=True)
class Comparison:
    """An arm against the LLM arm of its group, on the examples that both have a reward for."""

    group: str
    arm: ArmSummary
    baseline: ArmSummary
    paired: Paired | None


@dataclass(frozen=True)
class Summary:
    """All that the experiment page says in numbers."""

    unscored: Unscored
    arms: tuple[ArmSummary, ...]
    comparisons: tuple[Comparison, ...]

    @property
    def left_out(self) -> int:
        """Rollouts that ended without a reward: what the switch is about."""
        return sum(arm.too_long + arm.failed for arm in self.arms)


def summary(experiment: Experiment, *, unscored: Unscored = Unscored.EXCLUDE) -> Summary:
    """Arms and comparisons of one experiment. Three queries, however many arms and rollouts."""
    arms = list(experiment.arms.order_by("position"))
    sums = {row.pop("arm"): row for row in _arm_sums(experiment.rollouts())}
    rewards = rewards_by_example(experiment.rollouts(), unscored=unscored)
    differing = differing_settings(arms)
    summaries = tuple(
        _arm_summary(arm, differing[arm.pk], sums.get(arm.pk, {}), rewards.get(arm.pk, {})) for arm in arms
    )
    return Summary(unscored=unscored, arms=summaries, comparisons=tuple(_comparisons(summaries, rewards)))


def _arm_sums(rollouts: RolloutQuerySet) -> Iterable[dict[str, Any]]:
    """Counts of all rollouts of each arm, and means of those that began and ended."""

    def mean(column: str) -> Avg:
        return Avg(column, filter=BEGUN_AND_ENDED)

    rows = rollouts.values("arm").annotate(
        total=Count("id"),
        scored=Count("id", filter=COMPLETED & Q(reward__isnull=False)),
        refused=Count("id", filter=FAILED & Q(stop_reason=TOO_LONG)),
        failed=Count("id", filter=FAILED & ~Q(stop_reason=TOO_LONG)),
        cancelled=Count("id", filter=CANCELLED),
        unfinished=Count("id", filter=Q(status__in=[Rollout.Status.QUEUED, Rollout.Status.RUNNING])),
        on_process_sandbox=Count("id", filter=Q(sandbox_backend="process")),
        mean_prompt_tokens=mean("main_prompt_tokens"),
        mean_completion_tokens=mean("main_completion_tokens"),
        mean_sub_prompt_tokens=mean("sub_prompt_tokens"),
        mean_sub_completion_tokens=mean("sub_completion_tokens"),
        mean_sub_calls=mean("sub_calls"),
        mean_turns=mean("turns"),
        mean_seconds=mean("seconds"),
        mean_cost=mean("cost"),
        sum_cost=Sum("cost", default=Decimal(0)) + Sum("earlier_cost", default=Decimal(0)),
        priced=Count("id", filter=BEGUN_AND_ENDED & Q(cost__isnull=False)),
        unpriced=Count("id", filter=BEGUN_AND_ENDED & Q(cost=None)),
    )
    return cast("Iterable[dict[str, Any]]", rows)


Rewards = Mapping[int, list[float]]
"""Example → one reward per repetition."""


def rewards_by_example(rollouts: RolloutQuerySet, *, unscored: Unscored) -> dict[int, Rewards]:
    """Arm → example → rewards of its repetitions. One query."""
    counted = COMPLETED & Q(reward__isnull=False)
    if unscored is Unscored.ZERO:
        counted |= FAILED
    found: dict[int, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for arm, example, reward in rollouts.filter(counted).values_list("arm_id", "example_id", "reward"):
        found[arm][example].append(reward or 0.0)
    return dict(found)


def _arm_summary(
    arm: Arm, differs: tuple[tuple[str, str], ...], sums: Mapping[str, Any], rewards: Rewards
) -> ArmSummary:
    own = dict(differs)
    of_scaffold = [f"{key} {own[key]}" for key in own if key in arm.scaffold_settings]
    of_group = [f"{key} {value}" for key, value in differs if key not in arm.scaffold_settings]
    name = Scaffold(arm.scaffold).label if arm.scaffold in Scaffold.values else arm.scaffold
    return ArmSummary(
        pk=arm.pk,
        position=arm.position,
        environment=arm.environment,
        scaffold=arm.scaffold,
        scaffold_name=name,
        model=arm.model,
        simulated=arm.simulated,
        process_sandbox=bool(sums.get("on_process_sandbox")),
        differs=differs,
        group=" · ".join([arm.environment, *of_group]),
        series=" · ".join([name, *of_scaffold]),
        total=sums.get("total", 0),
        scored=sums.get("scored", 0),
        too_long=sums.get("refused", 0),
        failed=sums.get("failed", 0),
        cancelled=sums.get("cancelled", 0),
        unfinished=sums.get("unfinished", 0),
        counted=sum(len(values) for values in rewards.values()),
        reward=_reward_interval(rewards),
        prompt_tokens=sums.get("mean_prompt_tokens"),
        completion_tokens=sums.get("mean_completion_tokens"),
        sub_prompt_tokens=sums.get("mean_sub_prompt_tokens"),
        sub_completion_tokens=sums.get("mean_sub_completion_tokens"),
        sub_calls=sums.get("mean_sub_calls"),
        turns=sums.get("mean_turns"),
        seconds=sums.get("mean_seconds"),
        mean_cost=sums.get("mean_cost"),
        total_cost=sums.get("sum_cost", Decimal(0)),
        priced=sums.get("priced", 0),
        unpriced=sums.get("unpriced", 0),
    )


def _comparisons(arms: Sequence[ArmSummary], rewards: Mapping[int, Rewards]) -> Iterable[Comparison]:
    """Each arm that is not an LLM against the first LLM arm of its group."""
    baselines: dict[str, ArmSummary] = {}
    for arm in arms:
        if arm.scaffold == Scaffold.LLM:
            baselines.setdefault(arm.group, arm)
    for arm in arms:
        baseline = baselines.get(arm.group)
        if baseline is not None and arm.scaffold != Scaffold.LLM:
            pair = _paired(rewards.get(baseline.pk, {}), rewards.get(arm.pk, {}))
            yield Comparison(group=arm.group, arm=arm, baseline=baseline, paired=pair)


def _paired(baseline: Rewards, other: Rewards) -> Paired | None:
    common = sorted(baseline.keys() & other.keys())
    return compare_paired(
        *([sum(of[example]) / len(of[example]) for example in common] for of in (baseline, other))
    )


def _reward_interval(rewards: Rewards) -> Interval | None:
    """Cut to [0, 1] where all rewards lie in it: an environment may give others."""
    order = sorted(rewards)
    values = [value for example in order for value in rewards[example]]
    return mean_interval(
        values,
        clusters=[example for example in order for _ in rewards[example]],
        bounds=(0.0, 1.0) if all(0.0 <= value <= 1.0 for value in values) else None,
    )


@dataclass(frozen=True)
class BestArm:
    """The arm of an experiment with the highest mean reward among its scored rollouts."""

    arm: Arm
    reward: Interval


def best_arms(experiments: Sequence[Experiment]) -> dict[int, BestArm]:
    """Experiment → its best arm, for a page of the list. Three queries, and rows of the best arms only."""
    scored = Rollout.objects.filter(COMPLETED, reward__isnull=False, experiment__in=experiments)
    means = scored.values_list("experiment", "arm").annotate(mean=Avg("reward")).order_by("mean", "-arm")
    best = {experiment: arm for experiment, arm, _ in means}  # the last one wins: the highest mean
    arms = Arm.objects.in_bulk(best.values())
    rewards = rewards_by_example(Rollout.objects.filter(arm__in=best.values()), unscored=Unscored.EXCLUDE)
    found = {}
    for experiment, arm in best.items():
        interval = _reward_interval(rewards[arm]) if arm in rewards else None
        if interval is not None:
            found[experiment] = BestArm(arm=arms[arm], reward=interval)
    return found
