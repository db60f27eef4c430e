"""Rollouts with uncertain token counts: prompts that the server truncated, and counts of our own.

It reads two indexes that hold only such rollouts, so it costs nothing if there are none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.db.models import Count

from rlm_runs.models import Rollout

from .snapshot import Snapshot


@dataclass(frozen=True)
class UncertainTokens:
    """Rollouts of an arm with a truncated prompt, and rollouts with estimated tokens."""

    truncated: int = 0
    estimated: int = 0

    def __add__(self, other: UncertainTokens) -> UncertainTokens:
        return UncertainTokens(self.truncated + other.truncated, self.estimated + other.estimated)


NONE = UncertainTokens()


def uncertain_tokens(snapshot: Snapshot) -> Mapping[int, UncertainTokens]:
    """Returns a map of arm → its uncertain rollouts, for arms that have some. Read once per snapshot."""
    return snapshot.remembered("uncertain tokens", lambda: _read(snapshot.experiment.pk))


def uncertain_words(found: Iterable[UncertainTokens]) -> list[str]:
    """Returns sentences for a figure of these arms; empty if all counts are certain."""
    total = sum(found, NONE)
    words = []
    if total.truncated:
        many = "rollout" if total.truncated == 1 else "rollouts"
        words.append(f"In {total.truncated:,} {many} the server read a part of a prompt only (truncated:>0).")
    if total.estimated:
        many = "rollout" if total.estimated == 1 else "rollouts"
        words.append(f"Tokens and dollars of {total.estimated:,} {many} are estimates (estimated:>0).")
    return words


def _read(experiment: int) -> dict[int, UncertainTokens]:
    rollouts = Rollout.objects.filter(experiment=experiment).order_by()
    truncated = rollouts.filter(truncated_prompts__gt=0).values_list("arm").annotate(Count("pk"))
    estimated = rollouts.filter(estimated_calls__gt=0).values_list("arm").annotate(Count("pk"))
    cut, guessed = dict(truncated), dict(estimated)
    return {arm: UncertainTokens(cut.get(arm, 0), guessed.get(arm, 0)) for arm in {*cut, *guessed}}
