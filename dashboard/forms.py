"""Query strings, validated: each filter form turns what stands in the URL into a narrower QuerySet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from django import forms
from django.db.models import F, Q, QuerySet

from rlm_runs.aggregates import TOO_LONG, ArmSummary, Unscored
from rlm_runs.models import Arm, Experiment, Rollout
from rlm_runs.models.experiments import RolloutQuerySet, Scaffold

from .pagination import Column, decimal

ANY = ("", "any")
UNFINISHED = "unfinished"


class ExperimentFilters(forms.Form):
    """Of the list of experiments."""

    STATES = (ANY, ("running", "running"), ("finished", "finished"), ("cancelled", "cancelled"))

    q = forms.CharField(required=False, max_length=200)
    status = forms.ChoiceField(required=False, choices=STATES)
    after = forms.CharField(required=False, max_length=80)
    before = forms.CharField(required=False, max_length=80)

    def narrow(self, experiments: QuerySet[Experiment]) -> QuerySet[Experiment]:
        """The experiments that the filters leave."""
        if q := self.cleaned_data["q"]:
            experiments = experiments.filter(
                Q(name__icontains=q) | Q(slug__icontains=q) | Q(description__icontains=q)
            )
        unfinished = Rollout.objects.unfinished().values("experiment")
        match self.cleaned_data["status"]:
            case "running":
                return experiments.filter(pk__in=unfinished, cancelled_at=None)
            case "finished":
                return experiments.exclude(pk__in=unfinished).filter(cancelled_at=None)
            case "cancelled":
                return experiments.filter(cancelled_at__isnull=False)
        return experiments


class RolloutFilters(forms.Form):
    """Of the lists of rollouts. Choices of environment, model and stop reason are those that the store has."""

    STATES = (
        ANY,
        *Rollout.Status.choices,
        ("too_long", "Too long"),
        ("unscored", "Ended unscored"),
        (UNFINISHED, "Unfinished"),
    )
    COLUMNS: ClassVar = {
        "id": Column("pk"),
        "example": Column("example_position"),
        "reward": Column("reward", float, nullable=True),
        "turns": Column("turns"),
        "cells": Column("cells"),
        "subs": Column("sub_calls"),
        "main": Column("all_main_tokens"),
        "sub": Column("all_sub_tokens"),
        "cost": Column("cost", decimal, nullable=True),
        "seconds": Column("seconds", float, nullable=True),
    }

    environment = forms.ChoiceField(required=False)
    scaffold = forms.ChoiceField(required=False, choices=(ANY, *Scaffold.choices))
    model = forms.ChoiceField(required=False)
    status = forms.ChoiceField(required=False, choices=STATES)
    stop = forms.ChoiceField(required=False, label="stop reason")
    reward_from = forms.FloatField(required=False, label="reward from")
    reward_to = forms.FloatField(required=False, label="reward to")
    q = forms.CharField(required=False, max_length=200, label="search")
    arm = forms.IntegerField(required=False, min_value=1, max_value=2**62, widget=forms.HiddenInput)
    example = forms.IntegerField(required=False, min_value=1, max_value=2**31 - 1, widget=forms.HiddenInput)
    sort = forms.ChoiceField(required=False)
    after = forms.CharField(required=False, max_length=80)
    before = forms.CharField(required=False, max_length=80)

    def __init__(self, data: Any, *, arms: QuerySet[Arm], stop_reasons: list[str]) -> None:
        super().__init__(data)
        known = sorted(set(arms.order_by().values_list("environment", "model").distinct()))
        self._choose("environment", sorted({environment for environment, _ in known}))
        self._choose("model", sorted({model for _, model in known}))
        self._choose("stop", stop_reasons)
        columns = [(name, name) for key in self.COLUMNS for name in (key, f"-{key}")]
        self._field("sort").choices = [("", "default"), *columns]

    def _field(self, name: str) -> forms.ChoiceField:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        return field

    def _choose(self, name: str, values: list[str]) -> None:
        self._field(name).choices = [ANY, *((value, value) for value in values)]

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        low, high = cleaned.get("reward_from"), cleaned.get("reward_to")
        if low is not None and high is not None and low > high:
            self.add_error("reward_to", "must not be below the lower bound")
        return cleaned

    @property
    def is_active(self) -> bool:
        """Whether anything is filtered at all."""
        return any(
            self.cleaned_data.get(name) not in ("", None)
            for name in self.fields
            if name not in ("sort", "after", "before")
        )

    def narrow(self, rollouts: RolloutQuerySet) -> RolloutQuerySet:
        """The rollouts that the filters leave."""
        chosen = self.cleaned_data
        exact = {
            "arm__environment": chosen["environment"],
            "arm__scaffold": chosen["scaffold"],
            "arm__model": chosen["model"],
            "stop_reason": chosen["stop"],
            "arm": chosen["arm"],
            "reward__gte": chosen["reward_from"],
            "reward__lte": chosen["reward_to"],
        }
        found = rollouts.filter(**{key: value for key, value in exact.items() if value not in ("", None)})
        if chosen["example"] is not None:
            found = found.filter(example_position=chosen["example"] - 1)
        found = _in_state(found, chosen["status"])
        if chosen["q"]:
            found = found.filter(_mentions(chosen["q"]))
        return found.annotate(
            all_main_tokens=F("main_prompt_tokens") + F("main_completion_tokens"),
            all_sub_tokens=F("sub_prompt_tokens") + F("sub_completion_tokens"),
        )


def _in_state(rollouts: RolloutQuerySet, state: str) -> RolloutQuerySet:
    match state:
        case "":
            return rollouts
        case "too_long":
            return rollouts.filter(stop_reason=TOO_LONG)
        case "unscored":
            return rollouts.filter(reward=None, status=Rollout.Status.FAILED)
        case "unfinished":
            return rollouts.unfinished()
        case "failed":
            return rollouts.filter(status=state).exclude(stop_reason=TOO_LONG)
    return rollouts.filter(status=state)


def _mentions(words: str) -> Q:
    """What a row is known by. Texts are not searched here."""
    found = (
        Q(error__icontains=words)
        | Q(stop_reason__icontains=words)
        | Q(arm__environment__icontains=words)
        | Q(arm__model__icontains=words)
        | Q(experiment__name__icontains=words)
    )
    number = words.removeprefix("#")
    return found | Q(pk=int(number)) if number.isdecimal() and len(number) < 18 else found


def _sort_choices(*columns: str) -> list[tuple[str, str]]:
    return [(way + column, column) for column in columns for way in ("", "-")]


class ExperimentView(forms.Form):
    """What the experiment page may be asked for."""

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

    unscored = forms.ChoiceField(required=False, choices=[(choice.value, choice.value) for choice in Unscored])
    sort = forms.ChoiceField(required=False, choices=_sort_choices(*SORTS))

    def chosen(self) -> Unscored:
        """The switch of the page; what is not understood is the default."""
        self.full_clean()
        return Unscored(self.cleaned_data.get("unscored") or Unscored.EXCLUDE.value)

    def sorted_by(self) -> str:
        """The column by which the arms are sorted, behind a - if falling; empty for the order of the experiment."""
        self.full_clean()
        return str(self.cleaned_data.get("sort") or "")

    def in_order(self, arms: Sequence[ArmSummary]) -> list[ArmSummary]:
        """The arms as they are asked for; those without a value last."""
        sort = self.sorted_by()
        if not sort:
            return list(arms)
        key = self.SORTS[sort.removeprefix("-")]
        known = [arm for arm in arms if key(arm) is not None]
        unknown = [arm for arm in arms if key(arm) is None]
        return sorted(known, key=lambda arm: key(arm) or 0.0, reverse=sort.startswith("-")) + unknown
