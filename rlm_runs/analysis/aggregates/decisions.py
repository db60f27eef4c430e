"""Arms that early stopping ended, whose tests have no p-value for a fixed number of examples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rlm_runs.models import Arm, ArmDecision

from .snapshot import Snapshot

_NAMED = 3


def decisions(snapshot: Snapshot) -> Mapping[int, ArmDecision]:
    """Returns a map of arm → its decision, for arms that ended early and were not reopened.

    One query, none without early stopping.
    """
    if not snapshot.experiment.spec.get("early_stopping"):
        return {}
    return snapshot.remembered("decisions", lambda: _decisions([arm.pk for arm in snapshot.arms]))


def _decisions(arms: Sequence[int]) -> dict[int, ArmDecision]:
    return {row.arm_id: row for row in ArmDecision.objects.filter(arm__in=arms, reopened_at=None)}


def ended_early_words(arms: Iterable[Arm]) -> str:
    """Returns a warning for figures and comparisons with these arms, which ended early; "" without arms."""
    names = list(map(str, arms))
    if not names:
        return ""
    named = "; ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    return (
        f"Ended early: {named}. How many examples they have depends on their rewards, so p-values and intervals"
        " for a fixed number of examples do not hold for them. The experiment page has the sequential ones."
    )
