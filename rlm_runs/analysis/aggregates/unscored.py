"""The treatment of rollouts without a reward: whether and how they count. None is ever silently a zero."""

from __future__ import annotations

from enum import Enum

import numpy as np
from django.db.models import Q
from numpy.typing import NDArray

from rlm_runs.models import Rollout

from .frame import ENDED_UNSCORED, Frame, Outcome

TOO_LONG = "prompt_too_long"
LONGEST_QUERY = 2_000
"""The maximum length of a filter in a URL, in characters."""

COMPLETED = Q(status=Rollout.Status.COMPLETED)
FAILED = Q(status=Rollout.Status.FAILED)


class Unscored(Enum):
    """The treatment of rollouts that ended without a reward. Cancelled and unfinished rollouts never count.

    EXCLUDE omits it. ZERO counts it as reward 0, with its tokens, seconds and dollars. COMMON omits its example in
    every arm, so that the remaining examples were finished by all arms that have them.
    """

    EXCLUDE = "exclude"
    ZERO = "zero"
    COMMON = "common"


def select_counted(frame: Frame, unscored: Unscored) -> Frame:
    """Returns the counted rollouts of a frame, with their counted reward. COMMON depends on the arms in
    the frame.
    """
    scored = frame["outcome"] == Outcome.SCORED
    if unscored is Unscored.EXCLUDE:
        return frame.where(scored)
    if unscored is Unscored.COMMON:
        return frame.where(~np.isin(frame["example"], frame["example"][~scored]))
    kept = frame.where(scored | np.isin(frame["outcome"], ENDED_UNSCORED))
    return kept.with_column("reward", np.where(kept["outcome"] == Outcome.SCORED, kept["reward"], 0.0))


def outcomes_term(unscored: Unscored) -> str:
    """Returns the filter for the counted outcomes. `examples_term` filters the examples of COMMON."""
    return "outcome:scored,too_long,unjudged,failed" if unscored is Unscored.ZERO else "outcome:scored"


def examples_term(kept: Frame, *, whole: Frame) -> str | None:
    """Returns the filter for the examples that COMMON keeps; None if no filter distinguishes them.

    `whole` holds all rollouts of the arms. Examples are filtered by number, and every environment numbers its own
    from 1.
    """
    places = np.unique(kept["position"])
    namesakes = np.isin(whole["position"], places) & (whole["outcome"] == Outcome.SCORED)
    if not len(places) or not np.isin(whole["example"][namesakes], kept["example"]).all():
        return None
    return f"example:{_ranges(places + 1)}"


def _ranges(numbers: NDArray[np.int64]) -> str:
    """Returns ascending numbers as ranges, such as 1..3,5."""
    parts = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
    return ",".join(str(part[0]) if len(part) == 1 else f"{part[0]}..{part[-1]}" for part in parts)
