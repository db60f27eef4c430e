"""Finds arms to compare: those of any experiment, by their properties, grouped by experiment."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.db.models import Q, QuerySet

from rlm_runs.engine.scaffolds import registry
from rlm_runs.models import Arm, Experiment

_MOST = 60

ANY = ("", "any")


class PickerForm(forms.Form):
    """A search for arms. Its fields have the prefix `find-` in the URL."""

    environment = forms.ChoiceField(required=False)
    scaffold = forms.ChoiceField(
        required=False, choices=(ANY, *((key, registry.title(key)) for key in registry.REGISTRY))
    )
    model = forms.ChoiceField(required=False)
    experiment = forms.CharField(required=False, max_length=200)

    def __init__(self, data: Any) -> None:
        super().__init__(data, prefix="find")
        known = Arm.objects.order_by().values_list("environment", "model").distinct()
        for name, values in zip(("environment", "model"), zip(*known, strict=True), strict=False):
            field = self.fields[name]
            assert isinstance(field, forms.ChoiceField)
            field.choices = [ANY, *((value, value) for value in sorted(set(values)))]

    def narrow(self, arms: QuerySet[Arm]) -> QuerySet[Arm]:
        """Returns the matching arms; none for an invalid form."""
        if not self.is_valid():
            return arms.none()
        exact = {name: self.cleaned_data[name] for name in ("environment", "scaffold", "model")}
        found = arms.filter(**{name: value for name, value in exact.items() if value})
        if words := self.cleaned_data["experiment"]:
            found = found.filter(Q(experiment__name__icontains=words) | Q(experiment__slug__icontains=words))
        return found


@dataclass(frozen=True)
class EnvironmentArms:
    """The arms of an experiment on one environment: those found, and the ids of all of them."""

    environment: str
    arms: tuple[Arm, ...]
    ids: tuple[int, ...]


@dataclass(frozen=True)
class ExperimentArms:
    """The arms found in one experiment, and the ids of all its arms."""

    experiment: Experiment
    environments: tuple[EnvironmentArms, ...]
    ids: tuple[int, ...]


def found(form: PickerForm, *, without: Sequence[int]) -> tuple[ExperimentArms, ...]:
    """Returns arms that are not in the comparison yet, those of the newest experiments first. Two queries."""
    arms = (
        form.narrow(Arm.objects.exclude(pk__in=without).filter(experiment__in=Experiment.objects.listed()))
        .select_related("experiment")
        .defer("experiment__spec", "experiment__sources")
        .order_by("-experiment", "position")
    )
    by_experiment: dict[Experiment, list[Arm]] = defaultdict(list)
    for arm in arms[:_MOST]:
        by_experiment[arm.experiment].append(arm)
    everything: dict[int, list[tuple[str, int]]] = defaultdict(list)
    rows = Arm.objects.filter(experiment__in=by_experiment).order_by("position")
    for experiment, environment, pk in rows.values_list("experiment", "environment", "pk"):
        everything[experiment].append((environment, pk))
    return tuple(
        ExperimentArms(
            experiment=experiment,
            environments=tuple(_environments(listed, everything[experiment.pk])),
            ids=tuple(pk for _, pk in everything[experiment.pk]),
        )
        for experiment, listed in by_experiment.items()
    )


def _environments(listed: Sequence[Arm], everything: Sequence[tuple[str, int]]) -> list[EnvironmentArms]:
    names = dict.fromkeys(arm.environment for arm in listed)
    return [
        EnvironmentArms(
            environment=name,
            arms=tuple(arm for arm in listed if arm.environment == name),
            ids=tuple(pk for environment, pk in everything if environment == name),
        )
        for name in names
    ]
