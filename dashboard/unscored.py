"""The switch of a page: which rollouts without a reward count, and as what."""

from __future__ import annotations

from django import forms

from rlm_runs.analysis.aggregates import Unscored


class UnscoredForm(forms.Form):
    """The part `unscored` of a query string."""

    unscored = forms.ChoiceField(required=False, choices=[(choice.value, choice.value) for choice in Unscored])

    def chosen(self) -> Unscored:
        """Returns the switch of the page; an unknown value is the default."""
        self.full_clean()
        return Unscored(self.cleaned_data.get("unscored") or Unscored.EXCLUDE.value)
