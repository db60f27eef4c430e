"""The options of an action as form inputs, with the experiment's choices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from django.http import QueryDict

from rlm_runs.engine.scaffolds.registry import REGISTRY as SCAFFOLDS
from rlm_runs.execution import retry
from rlm_runs.execution.endpoints import model_choices
from rlm_runs.experiments.actions import Action
from rlm_runs.models import Experiment
from rlm_runs.models.texts import unescape

CLEARABLE = ("description", "tags", "owner")
"""Texts that an empty input clears."""
LISTS = ("outcomes", "models", "scaffolds")
"""Options that take several values."""


@dataclass(frozen=True)
class Choice:
    """One value to choose from."""

    value: str
    label: str
    chosen: bool


@dataclass(frozen=True)
class Field:
    """One input. `kind` is `boxes`, `select`, `number`, `rollouts` or `text`."""

    name: str
    label: str
    help: str
    kind: str
    value: str
    choices: tuple[Choice, ...] = ()


def given_options(action: Action, data: QueryDict) -> dict[str, object]:
    """Returns the options of a request, without empty inputs."""
    found: dict[str, object] = {}
    for name in action.options.model_fields:
        values = [value for value in data.getlist(name) if value.strip()]
        if values:
            found[name] = values if name in LISTS else values[-1].strip()
        elif name in CLEARABLE and name in data:
            found[name] = ""
    return found


def fields_of(action: Action, experiment: Experiment, data: QueryDict) -> list[Field]:
    """Returns the inputs of an action's form, with the values of the request."""
    return [_field(action, name, experiment, data) for name in action.options.model_fields if name in _LABELS]


_LABELS = {
    "value": "Priority",
    "outcomes": "Outcomes",
    "arm": "Arm",
    "rollouts": "Rollouts",
    "judge_model": "Judge",
    "examples": "Examples in all",
    "repetitions": "Repetitions in all",
    "models": "Further models",
    "scaffolds": "Further scaffolds",
    "dollars": "Dollars in all",
    "tokens": "Tokens in all",
    "hours": "Hours of running",
    "description": "Description",
    "tags": "Tags",
    "owner": "Owner",
}


def _field(action: Action, name: str, experiment: Experiment, data: QueryDict) -> Field:
    given = [value for value in data.getlist(name) if value.strip()]
    told = action.options.model_fields[name].description or ""
    choices = _choices(name, experiment)
    if name in LISTS:
        chosen = given or (["failed"] if name == "outcomes" and not data else [])
        boxes = tuple(Choice(value, label, value in chosen) for value, label in choices.items())
        return Field(name, _LABELS[name], told, "boxes", "", boxes)
    value = given[-1] if given else _standing(name, experiment)
    if choices:
        options = tuple(Choice(key, label, key == value) for key, label in choices.items())
        return Field(name, _LABELS[name], told, "select", value, options)
    kind = "rollouts" if name == "rollouts" else "text" if name in CLEARABLE else "number"
    return Field(name, _LABELS[name], told, kind, value)


def _standing(name: str, experiment: Experiment) -> str:
    """Returns the experiment's current value, for inputs that start with it."""
    if name == "value":
        return str(experiment.priority)
    if name in ("dollars", "tokens", "hours"):
        limit = getattr(experiment, f"budget_{name}")
        return "none" if limit is None else f"{Decimal(str(limit)).normalize():f}"
    if name == "tags":
        return ", ".join(map(unescape, experiment.tags.values_list("name", flat=True)))
    if name == "owner":
        return experiment.created_by.get_username() if experiment.created_by else ""
    if name == "description":
        return unescape(experiment.description)
    return str(experiment.spec.get(name, "")) if name in ("examples", "repetitions") else ""


def _choices(name: str, experiment: Experiment) -> Mapping[str, str]:
    match name:
        case "outcomes":
            return {key: f"{key.replace('_', ' ')} ({n:,})" for key, n in retry.outcomes_of(experiment).items()}
        case "arm":
            return {"": "all arms", **{str(arm.pk): str(arm) for arm in experiment.arms.all()}}
        case "judge_model":
            return {"": "the arm's judge", **_models()}
        case "models":
            return _without(_models(), experiment.arms.values_list("model", flat=True))
        case "scaffolds":
            titles = {key: scaffold.title for key, scaffold in SCAFFOLDS.items()}
            return _without(titles, experiment.arms.values_list("scaffold", flat=True))
    return {}


def _models() -> dict[str, str]:
    return {choice.name: choice.name for choice in model_choices() if not choice.endpoint.missing}


def _without(choices: Mapping[str, str], there: Iterable[str]) -> dict[str, str]:
    known = set(there)
    return {value: label for value, label in choices.items() if value not in known}
