"""Arms whose comparison with their baseline is decided, by sequential tests that share an error rate.

An experiment with K comparisons at S stages of repetitions makes K × S tests, each at alpha / (K × S)
(Bonferroni). The probability that any finding or any interval of the experiment is ever wrong is therefore at most
alpha, however the comparisons depend on each other. They do depend, because they share their baseline. An interval
and a decision never contradict each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..statistics import Finding, Sequential, first_finding, sequential
from .progress import ArmProgress, Floats, differences, stages
from .settings import EarlyStopping


@dataclass(frozen=True)
class Verdict:
    """The current state of one comparison. With a `finding`, `found` is that of the n at which it was made.

    `found` is None without examples, if rewards are not between 0 and 1, and if it was not requested. `families`
    is the number of comparisons that share the error rate.
    """

    found: Sequential | None
    finding: Finding | None
    families: int

    @property
    def p(self) -> float | None:
        """The anytime-valid p-value, corrected for all comparisons."""
        return None if self.found is None else self.found.p_value(families=self.families)


def verdicts(
    arms: Sequence[ArmProgress],
    baselines: Sequence[int | None],
    settings: EarlyStopping,
    *,
    with_open: bool = True,
) -> list[Verdict | None]:
    """Returns each arm against its baseline (a place among the arms); None for an arm without one.

    Without `with_open`, open comparisons get no interval, whose computation takes most of the time.
    """
    steps = stages(arms)
    families = max(1, sum(base is not None for base in baselines) * len(steps))
    level = settings.alpha / families
    return [
        None
        if base is None
        else _verdict(
            [differences(arm, arms[base], repetitions=step) for step in steps],
            level=level,
            families=families,
            settings=settings,
            with_open=with_open,
        )
        for arm, base in zip(arms, baselines, strict=True)
    ]


def _verdict(
    by_stage: Sequence[Floats], *, level: float, families: int, settings: EarlyStopping, with_open: bool
) -> Verdict:
    """Returns the first stage that decides, else the one with the narrowest interval."""
    if any((np.abs(values) > 1).any() for values in by_stage):
        return Verdict(None, None, families)
    for values in by_stage:
        hit = first_finding(values, level=level, margin=settings.margin, least=settings.min_examples)
        if hit is not None:
            n, finding = hit
            return Verdict(sequential(values[:n], level=level), finding, families)
    if not with_open:
        return Verdict(None, None, families)
    found = [each for values in by_stage if (each := sequential(values, level=level)) is not None]
    return Verdict(min(found, key=lambda each: each.high - each.low, default=None), None, families)
