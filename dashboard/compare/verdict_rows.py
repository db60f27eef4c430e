"""The table of verdicts: each arm against A in numbers, with the interval drawn and the sentence on demand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.utils.safestring import SafeString

from rlm_runs.analysis.aggregates.comparison import SideBySide
from rlm_runs.analysis.statistics import Interval, Paired

from ..charts.forest import Estimate, Scale, outcomes_bar
from ..comparison_query import NamedArm
from ..formatting import probability, signed
from .wording import Sentence

_MOST_DRAWN = 12
"""Arms up to which rows have drawings; with more the page gets too heavy, and the figure has the intervals."""


@dataclass(frozen=True)
class VerdictRow:
    """One arm. The first is the baseline, which has a mean only; `paired` is None where nothing is in common."""

    arm: NamedArm
    mean: Interval | None
    sentence: Sentence | None
    paired: Paired | None
    difference: str
    forest: SafeString
    outcomes: SafeString
    p: str
    is_clear: bool


@dataclass(frozen=True)
class Verdicts:
    """All arms, and the axis that they share."""

    rows: tuple[VerdictRow, ...]
    axis: SafeString


def verdicts(found: SideBySide, arms: Sequence[NamedArm], sentences: Sequence[Sentence]) -> Verdicts:
    """Returns a row per arm, the baseline first."""
    row = found.reward
    estimates = [Estimate.of(pair, p=p) for pair, p in zip(row.against, row.adjusted, strict=True)]
    scale = Scale.of(estimates)
    is_drawn = len(arms) <= _MOST_DRAWN
    by_letter = {sentence.arm.letter: sentence for sentence in sentences}

    def rows() -> Iterator[VerdictRow]:
        for at, arm in enumerate(arms):
            pair, p = row.against[at], row.adjusted[at]
            sentence = by_letter.get(arm.letter)
            yield VerdictRow(
                arm=arm,
                mean=row.means[at],
                sentence=sentence,
                paired=pair,
                difference=_difference(pair),
                forest=scale.drawn(estimates[at]) if is_drawn else SafeString(""),
                outcomes=outcomes_bar(pair) if is_drawn else SafeString(""),
                p="" if p is None else probability(p).removeprefix("p = ").removeprefix("p "),
                is_clear=sentence is not None and sentence.is_clear,
            )

    return Verdicts(tuple(rows()), scale.axis() if is_drawn else SafeString(""))


def _difference(pair: Paired | None) -> str:
    """Returns a difference with its interval, such as `+0.12 [0, +0.23]`."""
    if pair is None:
        return ""
    found = pair.difference
    if found.low is None or found.high is None:
        return signed(found.mean)
    return f"{signed(found.mean)} [{signed(found.low)}, {signed(found.high)}]"
