"""What an experiment's pages sum up, in a bounded number of queries: progress, arms, comparisons, best arms.

Nothing here reads a text. A rollout without a reward (too long, failed, unfinished) is never a zero by default:
means are over the scored ones, and how many are not stands beside them. `Unscored.ZERO` counts those that ended
without a reward as 0; cancelled and unfinished ones count in neither way.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from operator import attrgetter
from typing import Any, cast

from django.db.models import Avg, Count, Max, Min, Q, Sum
from django.utils import timezone

from .models import Arm, Experiment, Rollout
from .models.experiments import RolloutQuerySet, Scaffold
from .statistics import Interval, Paired, compare_paired, mean_interval

TOO_LONG = "prompt_too_long"
_RECENT = timedelta(seconds=60)

_COMPLETED = Q(status=Rollout.Status.COMPLETED)
_FAILED = Q(status=Rollout.Status.FAILED)
_CANCELLED = Q(status=Rollout.Status.CANCELLED)
_BEGUN_AND_ENDED = Q(status__in=Rollout.FINISHED, started_at__isnull=False)


class Unscored(Enum):
    """What a rollout that ended without a reward counts as."""

    EXCLUDE = "exclude"
    ZERO = "zero"


@dataclass(frozen=True)
class Progress:
    """How far the rollouts of an experiment are.

    `cost` sums what is priced, of all attempts; `unpriced` counts the other rollouts. Judges are paid apart.
    """

    total: int = 0
    arms: int = 0
    completed: int = 0
    too_long: int = 0
    failed: int = 0
    cancelled: int = 0
    running: int = 0
    cost: Decimal = Decimal(0)
    judge_cost: Decimal = Decimal(0)
    unpriced: int = 0
    recent: int = 0
    recent_seconds: float = 0.0
    began_at: datetime | None = None
    last_ended_at: datetime | None = None
    process_sandbox: int = 0

    @property
    def done(self) -> int:
        """Those that ended, however they did."""
        return self.completed + self.too_long + self.failed + self.cancelled

    @property
    def queued(self) -> int:
        """Those that no worker has taken yet."""
        return self.total - self.done - self.running

    @property
    def seconds_taken(self) -> float | None:
        """From the first start to the last end."""
        if self.began_at is None or self.last_ended_at is None:
            return None
        return (self.last_ended_at - self.began_at).total_seconds()

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.done == self.total

    @property
    def percent(self) -> int:
        """Whole percent, 100 only where all is done."""
        return self.done * 100 // self.total if self.total else 100

    @property
    def per_minute(self) -> float | None:
        """Rollouts that ended per minute of late; None while none has."""
        return self.recent * 60 / self.recent_seconds if self.recent and self.recent_seconds else None

    @property
    def seconds_left(self) -> float | None:
        """At the present rate; None where there is none."""
        return (self.total - self.done) / self.per_minute * 60 if self.per_minute else None

    @property
    def version(self) -> str:
        """Changes whenever one of the counts does: what a live page compares."""
        counts = (self.total, self.completed, self.too_long, self.failed, self.cancelled, self.running, self.cost)
        return hashlib.sha256(repr(counts).encode()).hexdigest()[:16]


_NOTHING = Progress()


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


def progress(experiment: Experiment, *, now: datetime | None = None) -> Progress:
    """How far one experiment is. One query."""
    return progress_by_experiment([experiment], now=now)[experiment.pk]


def progress_by_experiment(
    experiments: Sequence[Experiment], *, now: datetime | None = None
) -> dict[int, Progress]:
    """How far each of these is. One query."""
    now = now or timezone.now()
    rows = (
        Rollout.objects.filter(arm__experiment__in=experiments)
        .values("arm__experiment")
        .annotate(
            total=Count("id"),
            arms=Count("arm", distinct=True),
            completed=Count("id", filter=_COMPLETED),
            too_long_count=Count("id", filter=_FAILED & Q(stop_reason=TOO_LONG)),
            failed=Count("id", filter=_FAILED & ~Q(stop_reason=TOO_LONG)),
            cancelled=Count("id", filter=_CANCELLED),
            running=Count("id", filter=Q(status=Rollout.Status.RUNNING)),
            last_cost=Sum("cost", default=Decimal(0)),
            cost_before=Sum("earlier_cost", default=Decimal(0)),
            judging=Sum("judge_cost", default=Decimal(0)),
            unpriced=Count("id", filter=_BEGUN_AND_ENDED & (Q(cost=None) | Q(judge_cost=None))),
            recent=Count("id", filter=Q(status__in=Rollout.FINISHED, finished_at__gte=now - _RECENT)),
            began_at=Min("started_at"),
            last_ended_at=Max("finished_at"),
            process_sandbox=Count("id", filter=Q(sandbox_backend="process")),
        )
    )
    found = {row["arm__experiment"]: _progress(row, now) for row in rows}
    return {experiment.pk: found.get(experiment.pk, _NOTHING) for experiment in experiments}


def _progress(row: Mapping[str, Any], now: datetime) -> Progress:
    ran_for = (now - row["began_at"]).total_seconds() if row["began_at"] else 0.0
    return Progress(
        total=row["total"],
        arms=row["arms"],
        completed=row["completed"],
        too_long=row["too_long_count"],
        failed=row["failed"],
        cancelled=row["cancelled"],
        running=row["running"],
        cost=row["last_cost"] + row["cost_before"],
        judge_cost=row["judging"],
        unpriced=row["unpriced"],
        recent=row["recent"],
        recent_seconds=min(ran_for, _RECENT.total_seconds()),
        began_at=row["began_at"],
        last_ended_at=row["last_ended_at"],
        process_sandbox=row["process_sandbox"],
    )


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
        return Avg(column, filter=_BEGUN_AND_ENDED)

    rows = rollouts.values("arm").annotate(
        total=Count("id"),
        scored=Count("id", filter=_COMPLETED & Q(reward__isnull=False)),
        refused=Count("id", filter=_FAILED & Q(stop_reason=TOO_LONG)),
        failed=Count("id", filter=_FAILED & ~Q(stop_reason=TOO_LONG)),
        cancelled=Count("id", filter=_CANCELLED),
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
        priced=Count("id", filter=_BEGUN_AND_ENDED & Q(cost__isnull=False)),
        unpriced=Count("id", filter=_BEGUN_AND_ENDED & Q(cost=None)),
    )
    return cast("Iterable[dict[str, Any]]", rows)


Rewards = Mapping[int, list[float]]
"""Example → one reward per repetition."""


def rewards_by_example(rollouts: RolloutQuerySet, *, unscored: Unscored) -> dict[int, Rewards]:
    """Arm → example → rewards of its repetitions. One query."""
    counted = _COMPLETED & Q(reward__isnull=False)
    if unscored is Unscored.ZERO:
        counted |= _FAILED
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


def differing_settings(arms: Sequence[Arm]) -> dict[int, tuple[tuple[str, str], ...]]:
    """Arm → the settings, in words, in which arms of the same environment or scaffold differ.

    Model, sub-model and sampling are compared over all arms.
    """
    sides: list[tuple[Callable[[Arm], dict[str, Any]], Callable[[Arm], str]]] = [
        (attrgetter("environment_settings"), attrgetter("environment")),
        (attrgetter("scaffold_settings"), attrgetter("scaffold")),
        (_model_settings, lambda arm: ""),
    ]
    found: dict[int, list[tuple[str, str]]] = {arm.pk: [] for arm in arms}
    for settings_of, peers_of in sides:
        values: dict[tuple[str, str], set[str]] = defaultdict(set)
        for arm in arms:
            for key in {key for peer in arms if peers_of(peer) == peers_of(arm) for key in settings_of(peer)}:
                values[peers_of(arm), key].add(_in_words(settings_of(arm).get(key)))
        for arm in arms:
            keys = [key for (peers, key), seen in values.items() if peers == peers_of(arm) and len(seen) > 1]
            found[arm.pk] += [(key, _in_words(settings_of(arm).get(key))) for key in sorted(keys)]
    return {pk: tuple(pairs) for pk, pairs in found.items()}


def _model_settings(arm: Arm) -> dict[str, Any]:
    others = {"sub-model": arm.sub_model, "judge": arm.judge_model}
    same = ("", arm.model)
    return {"model": arm.model, **arm.sampling} | {
        role: "the same" if model in same else model for role, model in others.items()
    }


def _in_words(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


@dataclass(frozen=True)
class BestArm:
    """The arm of an experiment with the highest mean reward among its scored rollouts."""

    arm: Arm
    reward: Interval


def best_arms(experiments: Sequence[Experiment]) -> dict[int, BestArm]:
    """Experiment → its best arm, for a page of the list. Three queries, and rows of the best arms only."""
    scored = Rollout.objects.filter(_COMPLETED, reward__isnull=False, arm__experiment__in=experiments)
    means = scored.values_list("arm__experiment", "arm").annotate(mean=Avg("reward")).order_by("mean", "-arm")
    best = {experiment: arm for experiment, arm, _ in means}  # the last one wins: the highest mean
    arms = Arm.objects.in_bulk(best.values())
    rewards = rewards_by_example(Rollout.objects.filter(arm__in=best.values()), unscored=Unscored.EXCLUDE)
    found = {}
    for experiment, arm in best.items():
        interval = _reward_interval(rewards[arm]) if arm in rewards else None
        if interval is not None:
            found[experiment] = BestArm(arm=arms[arm], reward=interval)
    return found
