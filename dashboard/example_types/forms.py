"""The choices of the page: the metadata key, the effect of interest, and the treatment of unscored rollouts."""

from __future__ import annotations

from collections.abc import Sequence

from django import forms

from ..unscored import UnscoredForm

DEFAULT_EFFECT = 0.1


class TypesForm(UnscoredForm):
    """The choices in the query string. Invalid values count as missing."""

    key = forms.CharField(required=False, max_length=60)
    effect = forms.FloatField(required=False, min_value=0.01, max_value=1)

    def chosen_key(self, keys: Sequence[str]) -> str:
        """Returns the requested key, else the first one."""
        self.full_clean()
        asked = str(self.cleaned_data.get("key") or "")
        return asked if asked in keys else keys[0]

    def chosen_effect(self) -> float:
        """Returns the smallest difference of interest."""
        self.full_clean()
        return float(self.cleaned_data.get("effect") or DEFAULT_EFFECT)
