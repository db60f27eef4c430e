"""The sentences of a comparison. They claim no more than the tests allow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rlm_runs.analysis.aggregates import Unscored, ended_early_words
from rlm_runs.analysis.aggregates.comparison import SideBySide, Tally
from rlm_runs.analysis.aggregates.frame import Outcome
from rlm_runs.analysis.statistics import Interval, Paired

from ..comparison_query import NamedArm
from ..formatting import plural, probability, signed

_CLEAR = 0.05
_OUTCOMES = {
    Outcome.TOO_LONG: "too long",
    Outcome.UNJUDGED: "unjudged",
    Outcome.FAILED: "failed",
    Outcome.CANCELLED: "cancelled",
    Outcome.UNFINISHED: "to go",
}


@dataclass(frozen=True)
class Sentence:
    """An arm against the baseline: `relation` stands between their names, `evidence` after them.

    `otherwise` is the result of the other treatment of unscored rollouts; "" if both arms have a reward for every
    ended rollout.
    """

    arm: NamedArm
    baseline: NamedArm
    relation: str
    is_clear: bool
    evidence: tuple[str, ...]
    otherwise: str


def sentences(
    found: SideBySide, other: SideBySide, arms: Sequence[NamedArm], *, in_common: Sequence[int]
) -> tuple[Sentence, ...]:
    """Returns one sentence per arm after the first.

    `other` treats unscored rollouts the other way. `in_common` are the numbers of examples shared with the first
    arm.
    """
    row = found.reward
    compared = sum(pair is not None for pair in row.against)
    return tuple(
        Sentence(
            arm=arms[at],
            baseline=arms[0],
            relation=_relation(row.against[at], row.adjusted[at]),
            is_clear=_is_clear(row.adjusted[at]) and not (arms[0].arm.ended_early or arms[at].arm.ended_early),
            evidence=tuple(_evidence(row.against[at], row.adjusted[at], compared=compared))
            or (_why_not(found.unscored, in_common[at]),),
            otherwise=_otherwise(other, at),
        )
        for at in range(1, len(arms))
    )


def _otherwise(other: SideBySide, at: int) -> str:
    pair = other.reward.against[at]
    lacking = sum(other.tallies[place].ended_unscored for place in (0, at))
    if pair is None or not lacking:
        return ""
    counted = "counted as zero" if other.unscored is Unscored.ZERO else "left out"
    return (
        f"With the {lacking:,} that ended without a reward {counted}: better on {pair.better:,} of "
        f"{plural(pair.n, 'example')}, worse on {pair.worse:,}; {signed(pair.mean_difference)}; "
        f"{probability(pair.p)}"
    )


def _is_clear(adjusted: float | None) -> bool:
    return adjusted is not None and adjusted < _CLEAR


def _relation(paired: Paired | None, adjusted: float | None) -> str:
    if paired is None:
        return "cannot be compared with"
    if not _is_clear(adjusted):
        return "is not clearly different from"
    return "is better than" if paired.mean_difference > 0 else "is worse than"


def _why_not(unscored: Unscored, in_common: int) -> str:
    if not in_common:
        return "they have no example in common"
    if unscored is Unscored.COMMON:
        return "there is no example that all arms finished"
    return "no example has a reward in both"


def _evidence(paired: Paired | None, adjusted: float | None, *, compared: int) -> Iterator[str]:
    if paired is None:
        return
    yield (
        f"better on {paired.better:,} of {plural(paired.n, 'example')}, worse on {paired.worse:,}, "
        f"the same on {paired.equal:,}"
    )
    yield f"{signed(paired.mean_difference)}{limits(paired.difference)}"
    yield f"{probability(paired.p)}, {paired.test}"
    if compared > 1 and adjusted is not None:
        yield f"{probability(adjusted)} after Holm’s correction for {compared} comparisons"
    if paired.effect is not None:
        # "large" would overstate a difference that may be due to chance
        size = f", {paired.effect.size}" if paired.p < _CLEAR else ""
        yield f"{paired.effect.name} {signed(paired.effect.value)}{size}"
    if paired.more_examples and paired.p >= _CLEAR:
        yield f"it would take {plural(paired.more_examples, 'more example')} to show a difference of this size"


def limits(interval: Interval) -> str:
    """Returns the interval of a difference in brackets, "" without one."""
    if interval.low is None or interval.high is None:
        return ""
    return f" (95 % {signed(interval.low)} to {signed(interval.high)})"


def left_out(found: SideBySide, arms: Sequence[NamedArm]) -> tuple[str, ...]:
    """Returns a sentence per arm with unscored rollouts: how many there are, and how they count."""
    return tuple(
        f"{arm.letter}: {_without(tally)}, of {plural(tally.total, 'rollout')}"
        for arm, tally in zip(arms, found.tallies, strict=True)
        if tally.total > tally.of(Outcome.SCORED)
    )


def _without(tally: Tally) -> str:
    return ", ".join(f"{tally.of(outcome):,} {word}" for outcome, word in _OUTCOMES.items() if tally.of(outcome))


def ended_early(arms: Sequence[NamedArm]) -> str:
    """Returns a warning if early stopping ended any of the arms; "" if none."""
    return ended_early_words(arm.arm for arm in arms if arm.arm.ended_early)


def how_counted(unscored: Unscored) -> str:
    """Returns a phrase for the treatment of unscored rollouts."""
    return {
        Unscored.EXCLUDE: "left out",
        Unscored.ZERO: "counted as zero",
        Unscored.COMMON: "left out, and so is the same example in every other arm",
    }[unscored]
