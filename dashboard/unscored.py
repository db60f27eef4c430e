"""A page's choice for unscored rollouts: whether and how they count."""

from __future__ import annotations

from django import forms

from rlm_runs.analysis.aggregates import Unscored


class UnscoredForm(forms.Form):
    """The part `unscored` of a query string."""

    unscored = forms.ChoiceField(required=False, choices=[(choice.value, choice.value) for choice in Unscored])

    def chosen(self) -> Unscored:
        """Returns the chosen treatment; the default for an unknown value."""
        self.full_clean()
        return Unscored(self.cleaned_data.get("unscored") or Unscored.EXCLUDE.value)
