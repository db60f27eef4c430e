"""The arms of an experiment in numbers, the comparisons between them, and the best arm of each experiment."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import cast

import numpy as np
from django.db.models import Avg
from numpy.typing import NDArray

from rlm_runs.models import Arm, ArmDecision, Experiment, Rollout

from .. import statistics
from ..statistics import Interval, Paired, PassRate, Table
from .baselines import baselines, chosen_baseline
from .decisions import decisions
from .dimensions import ArmParts, arm_parts
from .frame import Frame
from .measures import MEASURES
from .points import (
    Cell,
    Cut,
    LeftOut,
    bounds,
    cut,
    lifts,
    means,
)
from .snapshot import Snapshot
from .tallies import Tally
from .uncertain_tokens import UncertainTokens, uncertain_tokens
from .unscored import COMPLETED, Unscored


@dataclass(frozen=True)
class Money:
    """The cost of an arm over all attempts. `unpriced` counts the rollouts with an unknown cost."""

    total: Decimal = Decimal(0)
    priced: int = 0
    unpriced: int = 0


@dataclass(frozen=True)
class ArmSummary:
    """One arm in numbers. All means are over the rollouts that count under the chosen treatment of unscored ones.

    `differs` are the settings in which it differs from other arms. `group` is what it shares with the arms that it
    competes with, `series` what distinguishes it from them. A mean is None if no rollout has the number.
    `ended_early` is the reason why early stopping ended it, "" if it did not. `uncertain` counts its rollouts with
    uncertain tokens.
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
    counted: int
    left_out: LeftOut
    reward: Interval | None
    means: Mapping[str, float | None]
    cost: Decimal | None
    money: Money
    ended_early: str = ""
    uncertain: UncertainTokens = field(default_factory=UncertainTokens)

    @property
    def name(self) -> str:
        """The arm's scaffold, and all settings in which it differs from others."""
        return " · ".join([self.scaffold_name, *(f"{key} {value}" for key, value in self.differs)])


@dataclass(frozen=True)
class Comparison:
    """An arm against the baseline of its group, on the examples for which both have a reward.

    In an experiment without baselines, the first arm of the environment is the baseline; names then show all
    differences. `p` is corrected for all comparisons of the experiment (Holm 1979). `otherwise` is the same
    comparison with unscored rollouts counted the other way, None if neither arm has any. `prices` are the arm's
    tokens, dollars and seconds as multiples of the baseline's, on the same examples.

    `decision` is set if early stopping ended the arm or, without a decision of the arm itself, the baseline. `p`
    is then the anytime-valid one (1 / e-value), corrected with the others; None if the arm was pruned.
    """

    group: str
    arm: ArmSummary
    baseline: ArmSummary
    name: str
    baseline_name: str
    paired: Paired | None
    p: float | None
    otherwise: Paired | None
    prices: Mapping[str, float]
    decision: ArmDecision | None = None


@dataclass(frozen=True)
class Summary:
    """The numbers of the experiment page."""

    unscored: Unscored
    arms: tuple[ArmSummary, ...]
    comparisons: tuple[Comparison, ...]

    @property
    def left_out(self) -> LeftOut:
        """Rollouts without a reward, of all arms together."""
        names = LeftOut.__dataclass_fields__
        return LeftOut(**{name: sum(getattr(arm.left_out, name) for arm in self.arms) for name in names})


def summary(snapshot: Snapshot, *, unscored: Unscored = Unscored.EXCLUDE) -> Summary:
    """Returns the arms and comparisons of one experiment. Two queries for any number of arms, none when
    repeated.
    """
    return snapshot.remembered(("summary", unscored), lambda: _summary(snapshot, unscored))


def _summary(snapshot: Snapshot, unscored: Unscored) -> Summary:
    other_way = Unscored.EXCLUDE if unscored is Unscored.ZERO else Unscored.ZERO
    ways = {way: by_arm(snapshot, unscored=way) for way in (unscored, other_way)}
    rewards = means(ways[unscored], MEASURES["reward"])
    parts = arm_parts(snapshot.arms)
    money = _money(snapshot.tallies())
    ended = decisions(snapshot)
    process = {each.arm for each in snapshot.tallies() if each.sandbox_backend == "process"}
    uncertain = uncertain_tokens(snapshot)
    summaries = tuple(
        _arm_summary(
            arm,
            cell=ways[unscored].cells[at],
            parts=parts[arm.pk],
            reward=rewards[at].interval,
            means=_means_of(ways[unscored], at),
            money=money.get(arm.pk, Money()),
            process_sandbox=arm.pk in process,
            ended_early=ended[arm.pk].reason if arm.pk in ended else "",
        )
        for at, arm in enumerate(snapshot.arms)
    )
    summaries = tuple(
        replace(each, uncertain=uncertain[each.pk]) if each.pk in uncertain else each for each in summaries
    )
    return Summary(
        unscored=unscored,
        arms=summaries,
        comparisons=_comparisons(summaries, ways, chosen=chosen_baseline(snapshot.experiment), ended=ended),
    )


def by_arm(snapshot: Snapshot, *, unscored: Unscored) -> Cut:
    """Returns one cell per arm, in the order of the arms. An arm without rollouts has an empty cell."""
    frame = snapshot.frame()
    order = np.array([arm.pk for arm in snapshot.arms], dtype=np.int64)
    by_pk = np.argsort(order)
    codes = by_pk[np.searchsorted(order[by_pk], frame["arm"])]
    found = cut(frame, [codes], unscored=unscored)
    numbers = np.array([cell.place[0] for cell in found.cells], dtype=np.int64)
    numbered = found.frame.with_column("cell", numbers[found.frame["cell"]])
    cells = {cell.place[0]: cell for cell in found.cells}
    whole = tuple(cells.get(at) or _empty(at, arm) for at, arm in enumerate(snapshot.arms))
    return Cut(cells=whole, frame=numbered, unscored=unscored)


def _empty(at: int, arm: Arm) -> Cell:
    return Cell(place=(at,), arms=(arm.pk,), total=0, counted=0, left_out=LeftOut())


_MEANS = (
    "main_prompt_tokens",
    "main_completion_tokens",
    "main_tokens",
    "sub_prompt_tokens",
    "sub_completion_tokens",
    "sub_tokens",
    "sub_calls",
    "turns",
    "seconds",
    "cost",
)


def _means_of(pieces: Cut, at: int) -> dict[str, float | None]:
    """Returns the means of a cell's known values, without intervals."""
    own = pieces.frame["cell"] == at
    found: dict[str, float | None] = {}
    for name in _MEANS:
        values = pieces.frame[name][own]
        known = values[~np.isnan(values)]
        found[name] = float(known.mean()) if len(known) else None
    return found


def _arm_summary(
    arm: Arm,
    *,
    cell: Cell,
    parts: ArmParts,
    reward: Interval | None,
    means: Mapping[str, float | None],
    money: Money,
    process_sandbox: bool,
    ended_early: str,
) -> ArmSummary:
    cost = means.get("cost")
    return ArmSummary(
        pk=arm.pk,
        position=arm.position,
        environment=arm.environment,
        scaffold=arm.scaffold,
        scaffold_name=parts.scaffold[0][1],
        model=arm.model,
        simulated=arm.simulated,
        process_sandbox=process_sandbox,
        differs=(*parts.environment[1:], *parts.scaffold[1:]),
        group=parts.label(of="environment"),
        series=parts.label(of="scaffold"),
        total=cell.total,
        scored=cell.total - cell.left_out.unscored - cell.left_out.cancelled - cell.left_out.unfinished,
        counted=cell.counted,
        left_out=cell.left_out,
        reward=reward,
        means=means,
        cost=None if cost is None else Decimal(repr(cost)),
        money=money,
        ended_early=ended_early,
    )


def _money(tallies: Iterable[Tally]) -> dict[int, Money]:
    """Returns a map of arm → the exact cost of all its attempts."""
    found: dict[int, Money] = {}
    for each in tallies:
        before = found.get(each.arm, Money())
        found[each.arm] = Money(
            before.total + each.cost + each.earlier_cost,
            before.priced + each.begun - each.unpriced,
            before.unpriced + each.unpriced,
        )
    return found


def _comparisons(
    arms: Sequence[ArmSummary],
    ways: Mapping[Unscored, Cut],
    *,
    chosen: str | None,
    ended: Mapping[int, ArmDecision],
) -> tuple[Comparison, ...]:
    """Returns each arm against its baseline, with unscored rollouts treated as chosen and the other way."""
    asked = next(iter(ways.values()))
    bases, are_llms = baselines(arms, chosen=chosen)
    found, otherwise = (lifts(way, MEASURES["reward"], baselines=bases) for way in ways.values())
    decided = [
        None if base is None else ended.get(arm.pk) or ended.get(arms[base].pk)
        for arm, base in zip(arms, bases, strict=True)
    ]
    adjusted = statistics.holm([_p(paired, decision) for paired, decision in zip(found, decided, strict=True)])
    comparisons = []
    for at, base in enumerate(bases):
        if base is None:
            continue
        has_unscored = arms[at].left_out.unscored or arms[base].left_out.unscored
        comparisons.append(
            Comparison(
                group=arms[at].group if are_llms else arms[at].environment,
                arm=arms[at],
                baseline=arms[base],
                name=arms[at].series if are_llms else arms[at].name,
                baseline_name=arms[base].series if are_llms else arms[base].name,
                paired=found[at],
                p=None if np.isnan(adjusted[at]) else float(adjusted[at]),
                otherwise=otherwise[at] if has_unscored else None,
                prices=_prices(asked.frame, at, base),
                decision=decided[at],
            )
        )
    return tuple(comparisons)


def _p(paired: Paired | None, decision: ArmDecision | None) -> float:
    """Returns the p-value of one comparison; NaN if there is no valid one."""
    if decision is not None:
        return np.nan if decision.e_value is None else min(1.0, 1 / decision.e_value)
    return np.nan if paired is None else paired.p


def _prices(frame: Frame, at: int, base: int) -> dict[str, float]:
    """Returns the arm's means as multiples of its baseline's, on the examples that both have."""
    own, others = frame["cell"] == at, frame["cell"] == base
    common = np.isin(frame["example"], np.intersect1d(frame["example"][own], frame["example"][others]))
    found = {}
    for name in ("cost", "tokens", "seconds"):
        values = frame["main_tokens"] + frame["sub_tokens"] if name == "tokens" else frame[name]
        mine, theirs = _known_mean(values[own & common]), _known_mean(values[others & common])
        if mine is not None and theirs:
            found[name] = mine / theirs
    return found


def _known_mean(values: NDArray[np.float64]) -> float | None:
    """Returns the mean; None without values, or if one of them is unknown."""
    return float(values.mean()) if len(values) and not np.isnan(values).any() else None


@dataclass(frozen=True)
class ArmPassRates:
    """pass@k and pass^k of an arm with repetitions, for some k. A success is a reward of 1."""

    arm: ArmSummary
    at_least_one: tuple[PassRate, ...]
    all_of_them: tuple[PassRate, ...]


def pass_rates(snapshot: Snapshot, *, unscored: Unscored) -> tuple[ArmPassRates, ...]:
    """Returns the pass rates of all arms; empty if no example has repetitions."""
    return snapshot.remembered(("pass rates", unscored), lambda: _pass_rates(snapshot, unscored))


def _pass_rates(snapshot: Snapshot, unscored: Unscored) -> tuple[ArmPassRates, ...]:
    most = int(snapshot.frame()["repetition"].max(initial=0)) + 1
    if most < 2:
        return ()
    frame = by_arm(snapshot, unscored=unscored).frame
    ks = sorted({k for k in (1, 2, 4, 8, 16) if k < most} | {most})
    arms = summary(snapshot, unscored=unscored).arms
    rewards = Table.of(
        frame["reward"] >= 1, examples=frame["example"], arms=frame["cell"], arm_ids=range(len(arms))
    )
    shares = [
        [estimate(rewards.sums, rewards.counts, k=k) for k in ks]
        for estimate in (statistics.pass_at_k, statistics.pass_hat_k)
    ]
    rates = [[_rates(each, rewards, k=k) for k, each in zip(ks, found, strict=True)] for found in shares]
    return tuple(
        ArmPassRates(arm, tuple(each[at] for each in rates[0]), tuple(each[at] for each in rates[1]))
        for at, arm in enumerate(arms)
    )


def _rates(shares: NDArray[np.float64], rewards: Table, *, k: int) -> list[PassRate]:
    """Returns the mean of each row of [arms, examples] over the examples that have k attempts."""
    rows, columns = np.nonzero(~np.isnan(shares))
    table = Table.of(shares[rows, columns], examples=columns, arms=rows, arm_ids=range(len(shares)))
    intervals = statistics.mean_intervals(table, bounds=(0.0, 1.0))
    short = (rewards.present & (rewards.counts < k)).sum(axis=1)
    return [PassRate(k, interval, int(number)) for interval, number in zip(intervals, short, strict=True)]


@dataclass(frozen=True)
class BestArm:
    """The arm of an experiment with the highest mean reward among its scored rollouts."""

    arm: Arm
    reward: Interval


def best_arms(experiments: Sequence[Experiment]) -> dict[int, BestArm]:
    """Returns a map of experiment → its best arm, for a page of the list. Three queries, which read the best arms
    only.
    """
    scored = Rollout.objects.filter(COMPLETED, reward__isnull=False, experiment__in=experiments)
    averages = scored.values_list("experiment", "arm").annotate(mean=Avg("reward")).order_by("mean", "-arm")
    best = {experiment: arm for experiment, arm, _ in averages}  # later rows win, and the highest mean comes last
    arms = Arm.objects.in_bulk(best.values())
    rewards: dict[int, tuple[list[float], list[int]]] = defaultdict(lambda: ([], []))
    of_best = scored.filter(arm__in=best.values()).order_by("arm", "example_id", "repetition")
    for arm, example, reward in of_best.values_list("arm_id", "example_id", "reward"):
        rewards[arm][0].append(cast("float", reward))
        rewards[arm][1].append(example)
    found = {}
    for experiment, arm in best.items():
        values, examples = rewards[arm]
        limits = bounds(MEASURES["reward"], np.array(values))
        interval = statistics.mean_interval(values, clusters=examples, bounds=limits)
        if interval is not None:
            found[experiment] = BestArm(arm=arms[arm], reward=interval)
    return found
