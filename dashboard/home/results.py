"""The experiments that ended last, each with its headline: the best arm and the results of the comparisons.

A headline reads the rollouts of its experiment once and is cached. An index tells whether any of them changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.core.cache import cache
from django.db.models import OuterRef, Subquery

from rlm_runs.analysis import aggregates
from rlm_runs.analysis.aggregates import ArmSummary, Comparison
from rlm_runs.analysis.statistics import Interval
from rlm_runs.models import Experiment, Rollout

from ..charts.forest import Estimate
from .running import listed, unfinished

SHOWN = 8
_KEPT_SECONDS = 24 * 3600
_CLEAR = 0.05


@dataclass(frozen=True)
class Best:
    """The arm with the highest mean reward."""

    scaffold: str
    name: str
    group: str
    reward: Interval
    simulated: bool


@dataclass(frozen=True)
class Difference:
    """The comparison with the smallest p-value: an arm against its baseline, on their common examples."""

    scaffold: str
    name: str
    baseline: str
    group: str
    estimate: Estimate
    p: float


@dataclass(frozen=True)
class Headline:
    """The findings of an experiment. `best` is None without rewards, `strongest` without comparisons.

    `ahead`, `behind` and `undecided` count the comparisons with the baseline, after correction.
    """

    best: Best | None
    strongest: Difference | None
    ahead: int
    behind: int
    undecided: int
    rollouts: int
    unscored: int
    cost: Decimal
    unpriced: int
    ended_at: datetime | None


@dataclass(frozen=True)
class Result:
    """An experiment that ended, with its headline."""

    experiment: Experiment
    headline: Headline


def results() -> Sequence[Result]:
    """Returns the newest experiments whose rollouts have all ended."""
    ends = {f"last_{status}": _last_end(status) for status in Rollout.FINISHED}
    newest = listed().exclude(unfinished()).order_by("-created_at", "-pk").annotate(**ends)
    found = list(newest[:SHOWN])
    keys = {each.pk: _key(each, [getattr(each, name) for name in ends]) for each in found}
    known = cache.get_many(keys.values())
    fresh = {keys[each.pk]: _headline(each) for each in found if keys[each.pk] not in known}
    if fresh:
        cache.set_many(fresh, timeout=_KEPT_SECONDS)
    return [Result(each, (known | fresh)[keys[each.pk]]) for each in found]


def _key(experiment: Experiment, ends: Sequence[datetime | None]) -> str:
    """Returns a cache key that changes with every end of a rollout, and with changes to ended rollouts."""
    said = repr((experiment.pk, experiment.revision, experiment.cancelled_at, ends))
    return f"home-headline-{hashlib.sha256(said.encode()).hexdigest()[:24]}"


def _last_end(status: str) -> Subquery:
    """Returns the last end of an experiment's rollouts with this status, read from an index."""
    ended = Rollout.objects.filter(experiment=OuterRef("pk"), status=status, finished_at__isnull=False)
    return Subquery(ended.order_by("-finished_at").values("finished_at")[:1])


def _headline(experiment: Experiment) -> Headline:
    experiment = Experiment.objects.get(pk=experiment.pk)
    snapshot = aggregates.snapshot(experiment)
    summary = aggregates.summary(snapshot)
    progress = aggregates.snapshot_progress(snapshot)
    tested = [found for found in map(_difference, summary.comparisons) if found is not None]
    clear = [found for found in tested if found.p < _CLEAR]
    ahead = sum(found.estimate.mean > 0 for found in clear)
    return Headline(
        best=_best(summary.arms),
        strongest=min(tested, key=lambda found: found.p, default=None),
        ahead=ahead,
        behind=len(clear) - ahead,
        undecided=len(tested) - len(clear),
        rollouts=progress.total,
        unscored=progress.total - sum(arm.scored for arm in summary.arms),
        cost=progress.cost + progress.judge_cost,
        unpriced=progress.unpriced,
        ended_at=progress.last_ended_at,
    )


def _best(arms: Sequence[ArmSummary]) -> Best | None:
    scored = [(arm.reward.mean, arm.reward, arm) for arm in arms if arm.reward is not None]
    if not scored:
        return None
    _, reward, arm = max(scored, key=lambda found: found[0])
    return Best(arm.scaffold, arm.series, arm.group, reward, arm.simulated)


def _difference(comparison: Comparison) -> Difference | None:
    """Returns the difference that the test used; for an arm that ended early, that of its confidence sequence."""
    decision, p = comparison.decision, comparison.p
    if p is None:
        return None
    ends = (decision.estimate, decision.low, decision.high) if decision is not None else (None, None, None)
    mean, low, high = ends
    if mean is not None and low is not None and high is not None:
        estimate = Estimate(mean, low, high, is_clear=p < _CLEAR)
    else:
        found = Estimate.of(comparison.paired, p=p)
        if found is None:
            return None
        estimate = found
    return Difference(
        scaffold=comparison.arm.scaffold,
        name=comparison.name,
        baseline=comparison.baseline_name,
        group=comparison.group,
        estimate=estimate,
        p=p,
    )
