"""The control of unscored rollouts: whether they count, as what, and how each choice changes the means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django import forms

from rlm_runs.analysis.aggregates import Snapshot, Unscored
from rlm_runs.analysis.aggregates.arms import by_arm
from rlm_runs.analysis.aggregates.dimensions import arm_parts
from rlm_runs.analysis.aggregates.measures import MEASURES
from rlm_runs.analysis.aggregates.points import plain_means

LABELS = {
    Unscored.EXCLUDE: ("Exclude", "Rollouts without a reward are left out"),
    Unscored.ZERO: ("Count as 0", "With reward 0 and the tokens, seconds and dollars that they took"),
    Unscored.COMMON: ("Common examples only", "Examples that have a reward in every arm that runs them"),
}

Mean = tuple[float, int] | None
"""A mean reward and its number of rollouts; None without rollouts."""


class UnscoredForm(forms.Form):
    """The part `unscored` of a query string."""

    unscored = forms.ChoiceField(required=False, choices=[(choice.value, choice.value) for choice in Unscored])

    def chosen(self) -> Unscored:
        """Returns the chosen treatment; the default for an unknown value."""
        self.full_clean()
        return Unscored(self.cleaned_data.get("unscored") or Unscored.EXCLUDE.value)


@dataclass(frozen=True)
class Choice:
    """One position of the control; `counted` is the number of rollouts that count with it."""

    unscored: Unscored
    label: str
    title: str
    counted: int
    is_chosen: bool
    address: str = ""
    """Where it leads, on a page whose query string is more than its parts."""

    @property
    def query(self) -> str:
        """Its part of the query string; "" for the default."""
        return "" if self.unscored is Unscored.EXCLUDE else self.unscored.value


@dataclass(frozen=True)
class EffectCell:
    """A mean under one choice, and whether it differs from the mean under the chosen one."""

    mean: Mean
    is_chosen: bool
    is_changed: bool


@dataclass(frozen=True)
class EffectRow:
    """The mean rewards of one arm under each choice."""

    scaffold: str
    name: str
    group: str
    cells: tuple[EffectCell, ...]


@dataclass(frozen=True)
class Control:
    """The choices, and the arms whose mean reward depends on them."""

    unscored: int
    choices: tuple[Choice, ...]
    rows: tuple[EffectRow, ...]
    arms: int


@dataclass(frozen=True)
class ArmMeans:
    """The names of an arm, and its mean reward under each choice."""

    scaffold: str
    name: str
    group: str
    means: dict[Unscored, Mean]


def control(snapshot: Snapshot, chosen: Unscored) -> Control:
    """Returns the control of an experiment's pages."""
    unscored, arms = snapshot.remembered("unscored means", lambda: _arm_means(snapshot))
    return control_of(arms, chosen, unscored=unscored)


def control_of(
    arms: Sequence[ArmMeans], chosen: Unscored, *, unscored: int, addresses: Mapping[Unscored, str] | None = None
) -> Control:
    """Returns the control for these arms, with the number of their rollouts that ended unscored."""
    choices = tuple(
        Choice(
            way,
            *LABELS[way],
            counted=_counted(arms, way),
            is_chosen=way is chosen,
            address=addresses[way] if addresses else "",
        )
        for way in Unscored
    )
    rows = tuple(_row(arm, chosen) for arm in arms if len(set(arm.means.values())) > 1)
    return Control(unscored=unscored, choices=choices, rows=rows, arms=len(arms))


def _counted(arms: Sequence[ArmMeans], way: Unscored) -> int:
    return sum(found[1] for arm in arms if (found := arm.means[way]) is not None)


def _row(arm: ArmMeans, chosen: Unscored) -> EffectRow:
    now = arm.means[chosen]
    cells = tuple(EffectCell(arm.means[way], way is chosen, arm.means[way] != now) for way in Unscored)
    return EffectRow(arm.scaffold, arm.name, arm.group, cells)


def _arm_means(snapshot: Snapshot) -> tuple[int, tuple[ArmMeans, ...]]:
    parts = arm_parts(snapshot.arms)
    cuts = {way: by_arm(snapshot, unscored=way) for way in Unscored}
    means = {way: plain_means(found, MEASURES["reward"]) for way, found in cuts.items()}
    arms = tuple(
        ArmMeans(
            scaffold=arm.scaffold,
            name=parts[arm.pk].label(of="scaffold"),
            group=parts[arm.pk].label(of="environment"),
            means={way: means[way][at] for way in Unscored},
        )
        for at, arm in enumerate(snapshot.arms)
    )
    return sum(cell.left_out.unscored for cell in cuts[Unscored.EXCLUDE].cells), arms
