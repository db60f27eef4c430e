"""The section on early stopping: the arms that ended, the evidence, and the savings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from rlm_runs.analysis.aggregates import ArmSummary, Snapshot, Summary
from rlm_runs.analysis.early_stopping import Comparison, EarlyStopping, standing
from rlm_runs.models import ArmDecision

from .formatting import plural

_WHY = {
    "ahead": "ahead",
    "behind": "behind",
    "equivalent": "no difference of interest",
    "pruned": "pruned",
    "unneeded": "no arm left to compare",
}


@dataclass(frozen=True)
class Saved:
    """Rollouts that were not run, with their expected cost and time, from the mean of their arm.

    `cost` and `seconds` are None if the mean is unknown.
    """

    rollouts: int
    cost: Decimal | None
    seconds: float | None


@dataclass(frozen=True)
class EndedArm:
    """An arm that ended early. `estimate` and `evidence` are text, "" for a baseline that was not needed."""

    arm: ArmSummary
    baseline: ArmSummary | None
    decision: ArmDecision
    why: str
    estimate: str
    evidence: str
    saved: Saved


@dataclass(frozen=True)
class OpenArm:
    """An arm whose comparison is still open. `estimate` is "" before the first common example."""

    arm: ArmSummary
    baseline: ArmSummary
    examples: int
    estimate: str
    evidence: str


@dataclass(frozen=True)
class Section:
    """The data of the section. `saved` sums the arms that were not reopened."""

    settings: EarlyStopping
    rule: str
    ended: tuple[EndedArm, ...]
    open: tuple[OpenArm, ...]
    saved: Saved
    arms: int

    @property
    def is_test(self) -> bool:
        """Whether a test compares arms with a baseline."""
        return self.settings.method == "betting"


def section(snapshot: Snapshot, summary: Summary) -> Section | None:
    """Returns the section; None for an experiment without early stopping."""
    try:
        settings = EarlyStopping.of(snapshot.experiment.spec)
    except ValidationError:  # written by another version; workers log the error
        return None
    if settings is None:
        return None
    arms = {arm.pk: arm for arm in summary.arms}
    made = snapshot.remembered("every decision", lambda: _decisions(snapshot))
    ended = tuple(_ended(each, arms) for each in made)
    comparisons = snapshot.remembered("sequential", lambda: _comparisons(snapshot, settings))
    return Section(
        settings=settings,
        rule=_rule(settings, comparisons),
        ended=ended,
        open=tuple(_open(comparisons, arms, {each.arm_id for each in made})),
        saved=_sum([each.saved for each in ended if each.decision.reopened_at is None]),
        arms=sum(each.decision.reopened_at is None for each in ended),
    )


def as_json(found: Section) -> dict[str, Any]:
    """Returns the section as plain values, with arms given by id."""
    return {
        "settings": found.settings.written(),
        "ended": [
            {
                "arm": each.arm.pk,
                **{name: getattr(each.decision, name) for name in _COLUMNS},
                "baseline": each.decision.baseline_id,
                "rollouts_not_run": each.saved.rollouts,
                "estimated_cost": each.saved.cost,
                "estimated_seconds": each.saved.seconds,
            }
            for each in found.ended
        ],
        "saved": {
            "rollouts": found.saved.rollouts,
            "estimated_cost": found.saved.cost,
            "estimated_seconds": found.saved.seconds,
        },
    }


_COLUMNS = (
    *("reason", "at", "examples", "estimate", "low", "high", "e_value", "alpha", "level", "needed", "rung"),
    "reopened_at",
)


def _decisions(snapshot: Snapshot) -> list[ArmDecision]:
    return list(ArmDecision.objects.filter(arm__experiment=snapshot.experiment).order_by("id"))


def _comparisons(snapshot: Snapshot, settings: EarlyStopping) -> tuple[Comparison, ...]:
    return standing(snapshot.frame(), snapshot.arms, settings).comparisons


def _rule(settings: EarlyStopping, comparisons: tuple[Comparison, ...]) -> str:
    if settings.method == "halving":
        return (
            f"Successive halving: 1 in {settings.eta} arms of an environment passes each rung, the first after "
            f"{plural(settings.min_examples, 'rollout')}. It controls no error rate."
        )
    families = max((each.verdict.families for each in comparisons), default=1)
    margin = f", and arms that differ by less than {settings.margin:g} end too" if settings.margin else ""
    return (
        f"Testing by betting: the chance that any decision is wrong is at most {settings.alpha:g}, over "
        f"{plural(families, 'comparison')} and however often they are looked at{margin}."
    )


def _ended(decision: ArmDecision, arms: Mapping[int, ArmSummary]) -> EndedArm:
    arm = arms[decision.arm_id]
    seconds = arm.means.get("seconds")
    return EndedArm(
        arm=arm,
        baseline=None if decision.baseline_id is None else arms.get(decision.baseline_id),
        decision=decision,
        why=_WHY[decision.reason],
        estimate=_estimate(decision),
        evidence=_evidence(decision),
        saved=Saved(
            rollouts=decision.rollouts,
            cost=None if arm.cost is None else arm.cost * decision.rollouts,
            seconds=None if seconds is None else seconds * decision.rollouts,
        ),
    )


def _estimate(decision: ArmDecision) -> str:
    if decision.estimate is None:
        return ""
    if decision.low is None or decision.high is None:
        return f"{decision.estimate:.2f}"
    return difference(decision.estimate, decision.low, decision.high)


def _evidence(decision: ArmDecision) -> str:
    if decision.needed is not None:
        return f"{decision.needed:.2f}"
    if decision.e_value is None or decision.level is None:
        return ""
    return e_value(decision.e_value, decision.level)


def difference(mean: float, low: float, high: float) -> str:
    """Returns a difference with its interval, such as +0.21 [+0.05, +0.37]."""
    return f"{_signed(mean)} [{_signed(low)}, {_signed(high)}]"


def _signed(number: float) -> str:
    """Returns a number with two decimals; three if two would hide the sign."""
    text = f"{number:+.3f}" if 0.0005 <= abs(number) < 0.005 else f"{number:+.2f}"
    return text.replace("-", "−") if number else "0"


def e_value(found: float, level: float) -> str:
    """Returns the evidence and the threshold, such as 512 of 120."""
    return f"{_short(found)} of {_short(1 / level)}"


def _short(number: float) -> str:
    return f"{number:.1e}" if number >= 1e6 else f"{number:,.0f}" if number >= 10 else f"{number:.1f}"


def _open(
    comparisons: tuple[Comparison, ...], arms: Mapping[int, ArmSummary], ended: set[int]
) -> Iterator[OpenArm]:
    for each in comparisons:
        arm, found = arms[each.arm], each.verdict.found
        if each.arm in ended or not arm.left_out.unfinished:
            continue
        yield OpenArm(
            arm=arm,
            baseline=arms[each.baseline],
            examples=found.n if found else 0,
            estimate=difference(found.mean, found.low, found.high) if found else "",
            evidence=e_value(found.e_value, found.level) if found else "",
        )


def _sum(parts: list[Saved]) -> Saved:
    costs = [each.cost for each in parts if each.cost is not None]
    seconds = [each.seconds for each in parts if each.seconds is not None]
    return Saved(
        rollouts=sum(each.rollouts for each in parts),
        cost=sum(costs, Decimal(0)) if costs else None,
        seconds=sum(seconds) if seconds else None,
    )
