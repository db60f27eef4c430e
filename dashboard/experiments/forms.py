"""Forms that validate query strings and filter QuerySets."""

from __future__ import annotations

from django import forms
from django.contrib.auth.models import User
from django.db.models import Q, QuerySet

from rlm_runs.models import Experiment, ExperimentTag, Rollout

ANY = ("", "any")
_MOST = 200
"""Tags and owners that are offered."""


class ExperimentFilters(forms.Form):
    """Filters of the list of experiments."""

    STATES = (
        *(ANY, ("running", "running"), ("finished", "finished"), ("cancelled", "cancelled")),
        ("archived", "archived"),
    )

    q = forms.CharField(required=False, max_length=200)
    tag = forms.CharField(required=False, max_length=60)
    owner = forms.CharField(required=False, max_length=150)
    status = forms.ChoiceField(required=False, choices=STATES)

    @staticmethod
    def choices() -> dict[str, list[str]]:
        """Returns the existing tags and owners, for the menus."""
        tags = ExperimentTag.objects.order_by("name").values_list("name", flat=True).distinct()
        owners = User.objects.filter(experiment__isnull=False).order_by("username").distinct()
        return {"tags": list(tags[:_MOST]), "owners": list(owners.values_list("username", flat=True)[:_MOST])}

    @property
    def has_any(self) -> bool:
        """Whether any filter is set."""
        return any(self.cleaned_data.values())

    def narrow(self, experiments: QuerySet[Experiment]) -> QuerySet[Experiment]:
        """Returns the experiments that match the filters."""
        if q := self.cleaned_data["q"]:
            experiments = experiments.filter(
                Q(name__icontains=q) | Q(slug__icontains=q) | Q(description__icontains=q)
            )
        if tag := self.cleaned_data["tag"]:
            experiments = experiments.filter(pk__in=ExperimentTag.objects.filter(name=tag).values("experiment"))
        if owner := self.cleaned_data["owner"]:
            experiments = experiments.filter(created_by__username=owner)
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
