"""The URL's choices of a figure. The query string is the whole state: one URL, one figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from django import forms

from rlm_runs.analysis.aggregates import Snapshot, Unscored
from rlm_runs.analysis.aggregates.dimensions import METADATA, SETTING, Dimension, dimensions
from rlm_runs.analysis.aggregates.measures import MEASURES, Measure, measure

from .specs import (
    EFFICIENCY,
    LIFT,
    MEAN,
    STACK,
    TRADEOFF,
    Part,
    Spec,
)

FORMS = (("bars", "bars"), ("binned", "binned means"), ("rolling", "rolling mean"), ("scatter", "points"))
SCALES = (("linear", "linear"), ("log", "logarithmic"))
_MOST_FILTERS = 20


@dataclass(frozen=True)
class FigureQuery:
    """A figure's choices in full. `by`, `series` and `facet` name dimensions; `facet` may be "rest" (everything
    else that distinguishes arms) or "none" (arms are pooled), `series` may be "none". `where` filters by values of
    dimensions.
    """

    parts: tuple[Part, ...]
    by: str
    series: str = "variant"
    facet: str = "rest"
    form: str = "bars"
    unscored: Unscored = Unscored.EXCLUDE
    bins: int = 5
    scale: str = ""
    arms: tuple[int, ...] = ()
    where: tuple[tuple[str, str], ...] = ()

    @property
    def measures(self) -> tuple[Measure, ...]:
        """All measures that its parts need."""
        names = {"reward", "main_tokens", *(part.measure for part in self.parts)}
        return tuple(found for name in sorted(names) if (found := measure(name)) is not None)


def opening_query(spec: Spec, snapshot: Snapshot) -> FigureQuery | None:
    """Returns the figure's default choices; None if the experiment lacks its dimension."""
    known = dimensions(snapshot)
    by = spec.opens_by(known) if "*" not in spec.by else _first_found(known)
    facet = next((name for name in spec.facet if name in known or name in ("rest", "none")), None)
    if by is None or facet is None:
        return None
    return FigureQuery(parts=spec.parts, by=by, facet=facet, form=spec.form)


def _first_found(known: dict[str, Dimension]) -> str:
    return next((name for name in known if name.startswith((SETTING, METADATA))), "group")


class FigureForm(forms.Form):
    """The controls of a figure. Missing values take the figure's defaults."""

    FORMS = FORMS
    SCALES = SCALES

    measure = forms.MultipleChoiceField(required=False)
    by = forms.ChoiceField(required=False)
    series = forms.ChoiceField(required=False)
    facet = forms.ChoiceField(required=False)
    form = forms.ChoiceField(required=False, choices=FORMS)
    unscored = forms.ChoiceField(required=False, choices=[(way.value, way.value) for way in Unscored])
    bins = forms.IntegerField(required=False, min_value=2, max_value=20)
    scale = forms.ChoiceField(required=False, choices=SCALES)

    def __init__(self, data: Any, *, snapshot: Snapshot, opens: FigureQuery) -> None:
        super().__init__(data)
        self.snapshot, self.opens = snapshot, opens
        self.known = dimensions(snapshot)
        named = [(name, each.title) for name, each in self.known.items()]
        self._choose("by", named)
        self._choose("series", [*named, ("none", "nothing")])
        self._choose("facet", [("rest", "what else differs"), ("none", "all in one"), *named])
        self.measure_choices = measure_choices(snapshot)
        self._choose("measure", self.measure_choices)
        self.raw = data

    def _choose(self, name: str, choices: Sequence[tuple[str, str]]) -> None:
        chosen = self.fields[name]
        assert isinstance(chosen, forms.ChoiceField)
        chosen.choices = choices

    def asked(self) -> FigureQuery:
        """Returns the choices, with defaults for invalid ones. `errors` describes these."""
        self.full_clean()
        given = {name: value for name, value in self.cleaned_data.items() if value not in ("", None, [])}
        found = replace(
            self.opens,
            **{name: given[name] for name in ("by", "series", "facet", "form", "bins", "scale") if name in given},
        )
        if "unscored" in given:
            found = replace(found, unscored=Unscored(given["unscored"]))
        if "measure" in given:
            found = replace(found, parts=_with_measures(self.opens.parts, given["measure"]))
        if not self.known[found.by].numeric and found.form != "bars":
            found = replace(found, form="bars")
        return replace(found, arms=self._arms(), where=self._where())

    def _arms(self) -> tuple[int, ...]:
        asked = self._list("arm")
        own = {str(arm.pk): arm.pk for arm in self.snapshot.arms}
        for text in asked:
            if text not in own:
                self.add_error(None, f"There is no arm {text[:20]} in this experiment.")
        return tuple(sorted({own[text] for text in asked if text in own}))

    def _where(self) -> tuple[tuple[str, str], ...]:
        found = []
        for text in self._list("where"):
            name, _, value = text.partition(":")
            # `set.x` has a dot and no colon, so the first colon ends the name
            if name in self.known and value:
                found.append((name, value))
            else:
                self.add_error(None, f"There is nothing to narrow by as {text[:60]!r}.")
        return tuple(found)

    def _list(self, name: str) -> list[str]:
        values = self.raw.getlist(name) if hasattr(self.raw, "getlist") else list(self.raw.get(name, ()))
        return list(values)[:_MOST_FILTERS]


def _with_measures(parts: tuple[Part, ...], names: Sequence[str]) -> tuple[Part, ...]:
    """Returns parts of the same kind for other measures. Breakdowns and ratios have no other measure and become
    means.
    """
    kinds = {part.kind for part in parts}
    kind = next((each for each in (LIFT, TRADEOFF) if kinds == {each}), MEAN)
    return tuple(Part(kind, name) for name in names)


def measure_choices(snapshot: Snapshot) -> list[tuple[str, str]]:
    """Returns the measures of an experiment: those of every rollout, and its environments' metrics."""
    own = [(f"metric.{key}", f"metric {key}") for key in snapshot.metrics()]
    return [*((name, each.title) for name, each in MEASURES.items()), *own]


def title(asked: FigureQuery, known: dict[str, Dimension]) -> str:
    """Returns the figure's title, one line."""
    by = known[asked.by].title
    kinds = [part.kind for part in asked.parts]
    if len(set(kinds)) > 1:
        return f"Reward, tokens, time and cost by {by}"
    names = " and ".join(filter(None, (", ".join(_titles(asked)[:-1]), _titles(asked)[-1])))
    if kinds[0] == MEAN:
        return f"Mean {names} {'against' if asked.form != 'bars' else 'by'} {by}"
    if kinds[0] == LIFT:
        over = "the LLM" if asked.series in ("variant", "scaffold") else "the first"
        return f"Lift in {names} over {over}, by {by}"
    if kinds[0] == STACK:
        return f"Tokens per rollout by {by}: main and sub, prompt and completion"
    if kinds[0] == EFFICIENCY:
        return f"Reward per main-model token, as a multiple of the LLM's, by {by}"
    return f"Mean reward against {names}, by {by}"


def _titles(asked: FigureQuery) -> list[str]:
    found = [measure(part.measure) for part in asked.parts]
    return [each.title for each in found if each is not None]
