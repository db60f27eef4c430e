"""Forms that validate query strings and filter QuerySets."""

from __future__ import annotations

from django import forms
from django.db.models import Q, QuerySet

from rlm_runs.models import Experiment, Rollout

ANY = ("", "any")


class ExperimentFilters(forms.Form):
    """Filters of the list of experiments."""

    STATES = (
        *(ANY, ("running", "running"), ("finished", "finished"), ("cancelled", "cancelled")),
        ("archived", "archived"),
    )

    q = forms.CharField(required=False, max_length=200)
    status = forms.ChoiceField(required=False, choices=STATES)

    def narrow(self, experiments: QuerySet[Experiment]) -> QuerySet[Experiment]:
        """Returns the experiments that match the filters."""
        if q := self.cleaned_data["q"]:
            experiments = experiments.filter(
                Q(name__icontains=q) | Q(slug__icontains=q) | Q(description__icontains=q)
            )
        if self.cleaned_data["status"] == "archived":
            return experiments.filter(archived_at__isnull=False)
        experiments = experiments.filter(archived_at=None)
        unfinished = Rollout.objects.unfinished().values("experiment")
        match self.cleaned_data["status"]:
            case "running":
                return experiments.filter(pk__in=unfinished, cancelled_at=None)
            case "finished":
                return experiments.exclude(pk__in=unfinished).filter(cancelled_at=None)
            case "cancelled":
                return experiments.filter(cancelled_at__isnull=False)
        return experiments
