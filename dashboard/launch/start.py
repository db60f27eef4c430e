"""The initial data of the launch form: from a preset, an earlier experiment, a draft, a file, or a query string.

A spec that the form cannot show is filled in as TOML: the field `mode` is then `toml`, and the field `toml` its
text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.http import QueryDict

from rlm_runs.execution.endpoints import model_choices
from rlm_runs.experiments.plan import offline
from rlm_runs.experiments.presets import Preset
from rlm_runs.experiments.problems import SpecError
from rlm_runs.models import Experiment, LaunchDraft
from rlm_runs.models.texts import unescape, unstorable

from .clone import form_of
from .form import spec_of, starting_data
from .toml_file import as_toml, read

_LONGEST_NAME = 200
_COPY = " (copy)"


@dataclass(frozen=True)
class Start:
    """The initial data of the form, with notes for the user about its origin."""

    data: QueryDict
    notes: tuple[str, ...] = ()
    draft: LaunchDraft | None = None
    preset: Preset | None = None


def is_toml(data: QueryDict) -> bool:
    """Returns whether the page edits TOML in place of the form."""
    return data.get("mode") == "toml"


def spec_in(data: QueryDict) -> dict[str, Any]:
    """Returns the spec of the page. Raises SpecError if its TOML cannot be read."""
    return read(str(data.get("toml", ""))) if is_toml(data) else spec_of(data)


def as_text(data: QueryDict) -> Start:
    """Returns the same page as TOML."""
    return Start(_toml_data(as_toml(spec_in(data))))


def from_text(text: str) -> Start:
    """Returns the form of a TOML file. Falls back to the TOML if it cannot be read or has no equivalent form."""
    try:
        spec = read(text)
    except SpecError:
        return Start(_toml_data(text))
    data = form_of(spec)
    return Start(_toml_data(text), (_NOT_ALL,)) if data is None else Start(data)


def from_spec(spec: Mapping[str, Any], *notes: str) -> Start:
    """Returns the form of a spec, or its TOML if no form is equivalent to it."""
    data = form_of(spec)
    return Start(_toml_data(as_toml(spec)), (*notes, _NOT_ALL)) if data is None else Start(data, notes)


def from_preset(preset: Preset, *, on_generated_data: bool) -> Start:
    """Returns the form of a preset, with models that are reachable."""
    spec, notes = _with_models_in_reach(preset.spec)
    if on_generated_data:
        try:
            spec = offline(spec)
        except SpecError as error:
            notes = (*notes, f"Generated data is not possible: {error}")
    return replace(from_spec(spec, *notes), preset=preset)


def from_experiment(experiment: Experiment) -> Start:
    """Returns the form of a copy of an experiment. Imported ones have no spec, and get the default form."""
    if experiment.sources:
        return Start(starting_data(), ("Imported rollouts have no spec to launch.",))
    name = f"{unescape(experiment.name)[: _LONGEST_NAME - len(_COPY)]}{_COPY}"
    return from_spec({**unstorable(experiment.spec), "name": name}, f"A duplicate of {experiment.name}.")


def from_draft(draft: LaunchDraft) -> Start:
    """Returns the form that a draft stores."""
    return Start(QueryDict(draft.form), draft=draft)


def _toml_data(text: str) -> QueryDict:
    data = QueryDict(mutable=True)
    data["mode"], data["toml"] = "toml", text
    return data


def _with_models_in_reach(spec: Mapping[str, Any]) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """Returns the spec without unreachable models, and a note. If none remains, another model is used."""
    choices = {choice.name: choice for choice in model_choices()}
    missing = {
        name: choices[name].endpoint.missing if name in choices else "endpoints.toml has no such model"
        for name in spec["models"]
        if name not in choices or choices[name].endpoint.missing
    }
    if not missing:
        return spec, ()
    reachable = [name for name in spec["models"] if name not in missing]
    others = reachable or [name for name, choice in choices.items() if not choice.endpoint.missing][:1]
    if not others:
        return spec, ()
    why = "; ".join(f"{name} cannot be reached: {what}" for name, what in missing.items())
    instead = "" if reachable else f" {others[0]} is selected in its place."
    return {**spec, "models": others}, (f"{why}.{instead}",)


_NOT_ALL = "The form cannot show all of this spec: it combines settings in ways of its own. It is edited as TOML."
