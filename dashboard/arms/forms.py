"""The order of the arms, from the query string."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from django import forms

from rlm_runs.analysis.aggregates import ArmSummary

from ..unscored import UnscoredForm


def _sort_choices(*columns: str) -> list[tuple[str, str]]:
    return [(way + column, column) for column in columns for way in ("", "-")]


class ArmsForm(UnscoredForm):
    """The query string of the section: the column that sorts, and the control of unscored rollouts."""

    SORTS: ClassVar[dict[str, Callable[[ArmSummary], float | None]]] = {
        "n": lambda arm: arm.scored,
        "reward": lambda arm: arm.reward.mean if arm.reward else None,
        "prompt": lambda arm: arm.means.get("main_prompt_tokens"),
        "completion": lambda arm: arm.means.get("main_completion_tokens"),
        "sub": lambda arm: arm.means.get("sub_tokens"),
        "calls": lambda arm: arm.means.get("sub_calls"),
        "turns": lambda arm: arm.means.get("turns"),
        "seconds": lambda arm: arm.means.get("seconds"),
        "cost": lambda arm: arm.means.get("cost"),
        "total": lambda arm: float(arm.money.total),
    }

    sort = forms.ChoiceField(required=False, choices=_sort_choices(*SORTS))

    def sorted_by(self) -> str:
        """Returns the column that sorts the arms, with a leading `-` if descending; "" for the default order."""
        self.full_clean()
        return str(self.cleaned_data.get("sort") or "")

    def in_order(self, arms: Sequence[ArmSummary]) -> list[ArmSummary]:
        """Returns the arms in the chosen order. Those without a value come last."""
        sort = self.sorted_by()
        if not sort:
            return list(arms)
        key = self.SORTS[sort.removeprefix("-")]
        known = [arm for arm in arms if key(arm) is not None]
        unknown = [arm for arm in arms if key(arm) is None]
        return sorted(known, key=lambda arm: key(arm) or 0.0, reverse=sort.startswith("-")) + unknown
