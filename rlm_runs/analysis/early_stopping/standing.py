"""The state of an experiment's early stopping: its comparisons, and the arms that need no further rollouts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rlm_runs.models import Arm

from ..aggregates.arm_differences import identity
from ..aggregates.baselines import baselines
from ..aggregates.dimensions import arm_parts
from ..aggregates.frame import Frame
from . import betting, halving
from .progress import ArmProgress, progress_of
from .settings import EarlyStopping


@dataclass(frozen=True)
class Comparison:
    """An arm against its baseline, both given by id."""

    arm: int
    baseline: int
    verdict: betting.Verdict


@dataclass(frozen=True)
class End:
    """An arm that needs no further rollouts.

    `reason` is `ahead`, `behind`, `equivalent` (decided by the test), `unneeded` (a baseline without open arms) or
    `pruned` (by halving). `n` is the number of examples behind the decision. `estimate` is the mean difference
    from the baseline, or a pruned arm's mean reward; `needed` is the mean that it needed. `rung` is 0 except for
    pruned arms.
    """

    arm: int
    reason: str
    baseline: int | None = None
    n: int = 0
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    e_value: float | None = None
    alpha: float | None = None
    level: float | None = None
    needed: float | None = None
    rung: int = 0


@dataclass(frozen=True)
class Standing:
    """All comparisons (none with halving), and the arms to end."""

    comparisons: tuple[Comparison, ...]
    ends: tuple[End, ...]


@dataclass(frozen=True)
class _Side:
    scaffold: str
    environment: str
    group: str


def standing(
    frame: Frame,
    arms: Sequence[Arm],
    settings: EarlyStopping,
    *,
    ended: Mapping[int, int] | None = None,
    with_open: bool = True,
) -> Standing:
    """Returns the standing. `frame` holds all rollouts of the experiment with `reward`.

    `ended` maps arms that ended before (ids) to their rungs; they are not ended again. Without `with_open`, open
    comparisons have no interval.
    """
    before = ended or {}
    progress = progress_of(frame, [arm.pk for arm in arms], unscored=settings.unscored)
    parts = arm_parts(arms)
    sides = [_Side(arm.scaffold, arm.environment, parts[arm.pk].label(of="environment")) for arm in arms]
    bases, _ = baselines(sides, chosen=settings.baseline)
    if settings.method == "halving":
        named = bases if settings.baseline else []
        safe = frozenset(arms[base].pk for base in named if base is not None)
        ends = tuple(_pruned(arms, progress, settings, safe=safe, before=before))
        return Standing(comparisons=(), ends=ends)
    found = betting.verdicts(progress, bases, settings, with_open=with_open)
    comparisons = tuple(
        Comparison(arm=arm.pk, baseline=arms[base].pk, verdict=verdict)
        for arm, base, verdict in zip(arms, bases, found, strict=True)
        if base is not None and verdict is not None
    )
    ends = tuple(end for end in _decided(comparisons, settings) if end.arm not in before)
    return Standing(comparisons=comparisons, ends=ends)


def _decided(comparisons: Sequence[Comparison], settings: EarlyStopping) -> Iterator[End]:
    """Yields the arms with a finding, and the baselines whose arms all have one."""
    waited_for = set()
    for each in comparisons:
        found, finding = each.verdict.found, each.verdict.finding
        if found is None or finding is None:
            waited_for.add(each.baseline)
            continue
        yield End(
            arm=each.arm,
            reason=finding.value,
            baseline=each.baseline,
            n=found.n,
            estimate=found.mean,
            low=found.low,
            high=found.high,
            e_value=found.e_value,
            alpha=settings.alpha,
            level=found.level,
        )
    for baseline in dict.fromkeys(each.baseline for each in comparisons):
        if baseline not in waited_for:
            yield End(arm=baseline, reason="unneeded")


def _pruned(
    arms: Sequence[Arm],
    progress: Sequence[ArmProgress],
    settings: EarlyStopping,
    *,
    safe: frozenset[int],
    before: Mapping[int, int],
) -> Iterator[End]:
    """Yields the pruned arms. Arms compete within an environment with its settings, which share their examples."""
    by_environment: dict[str, dict[int, ArmProgress]] = defaultdict(dict)
    for arm, each in zip(arms, progress, strict=True):
        by_environment[identity([arm.environment, arm.environment_settings])][arm.pk] = each
    for rivals in by_environment.values():
        for pk, found in halving.pruned(rivals, settings, safe=safe, earlier=before).items():
            if pk not in before:
                yield End(
                    arm=pk, reason="pruned", n=found.n, estimate=found.mean, needed=found.needed, rung=found.rung
                )
