"""Query strings, validated: each filter form turns what stands in the URL into a narrower QuerySet."""

from __future__ import annotations

from django import forms
from django.db.models import Q, QuerySet

from rlm_runs.aggregates import Unscored
from rlm_runs.models import Experiment, Rollout

ANY = ("", "any")


class ExperimentFilters(forms.Form):
    """Of the list of experiments."""

    STATES = (ANY, ("running", "running"), ("finished", "finished"), ("cancelled", "cancelled"))

    q = forms.CharField(required=False, max_length=200)
    status = forms.ChoiceField(required=False, choices=STATES)

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


class ExperimentView(forms.Form):
    """What the experiment page may be asked for."""

    unscored = forms.ChoiceField(required=False, choices=[(choice.value, choice.value) for choice in Unscored])

    def chosen(self) -> Unscored:
        """The switch of the page; what is not understood is the default."""
        return (
            Unscored(self.cleaned_data["unscored"])
            if self.is_valid() and self.cleaned_data["unscored"]
            else (Unscored.EXCLUDE)
        )
