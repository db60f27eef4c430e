"""The launch form as data: the choices, the given values, and the spec that they make.

Every setting of an environment or scaffold, and every sampling parameter, is an input made from its pydantic
field. Several values separated by commas make one entry each, so an ablation is written in place of a default.
`launch` validates the spec, and its problems return to their inputs.
"""

from __future__ import annotations

import json
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, product
from typing import Any

from django.http import QueryDict
from pydantic.fields import FieldInfo

from rlm_runs.analysis.early_stopping import EarlyStopping
from rlm_runs.engine.environments.registry import REGISTRY
from rlm_runs.engine.scaffolds.registry import REGISTRY as SCAFFOLDS
from rlm_runs.execution.endpoints import ModelChoice, model_choices
from rlm_runs.experiments.problems import Problem
from rlm_runs.experiments.spec import Budget, Sampling
from rlm_runs.experiments.wording import accepted

from .toml_file import as_toml

_DEFAULTS = {"examples": "10", "seed": "0", "repetitions": "1"}
SIMPLE = ("name", "description", "examples", "seed", "repetitions", "sub_model", "judge_model")
_STOPPING = EarlyStopping.model_fields
_SAMPLING = {key: field for key, field in Sampling.model_fields.items() if key != "extra_body"}
_INDEXED = re.compile(r"(environments|scaffolds|models)\[(\d+)\](?:\.(\w+))?")


_LONG = 10_000
"""The number of characters from which a text gets an input of several lines."""


@dataclass(frozen=True)
class Setting:
    """One input: a setting of an environment or a scaffold, or a sampling parameter.

    `accepted` says which values it takes, "" where it is any text.
    """

    input_name: str
    name: str
    description: str
    default: str
    accepted: str
    value: str
    problems: tuple[str, ...]
    is_long: bool = False


@dataclass(frozen=True)
class Choice:
    """One check box, with its settings."""

    kind: str
    name: str
    title: str
    description: str
    chosen: bool
    settings: tuple[Setting, ...]
    problems: tuple[str, ...]

    @property
    def is_open(self) -> bool:
        """Whether its settings are expanded."""
        return any(setting.value or setting.problems for setting in self.settings)


@dataclass(frozen=True)
class EndpointChoices:
    """The models of one endpoint. `missing` says what must be set before they can be used."""

    title: str
    simulated: bool
    missing: str
    models: tuple[Choice, ...]


@dataclass(frozen=True)
class LaunchPage:
    """Everything that the template shows."""

    values: Mapping[str, str]
    environments: tuple[Choice, ...]
    scaffolds: tuple[Choice, ...]
    endpoints: tuple[EndpointChoices, ...]
    sampling: tuple[Setting, ...]
    stopping: tuple[Setting, ...]
    stops_early: bool
    budget: tuple[Setting, ...]
    problems: Mapping[str, tuple[str, ...]]
    toml: str

    @property
    def has_budget(self) -> bool:
        """Whether a budget is given, or has a problem."""
        return any(setting.value or setting.problems for setting in self.budget)

    @property
    def more_is_open(self) -> bool:
        """Whether the rarely used inputs are expanded."""
        return bool(self.values["sub_model"] or self.values["judge_model"]) or any(
            setting.value or setting.problems for setting in self.sampling
        )


def page(data: QueryDict, problems: Sequence[Problem] = ()) -> LaunchPage:
    """Returns the form with the given values, and each problem at its input; problems without an input
    under "".
    """
    placed = placed_problems(data, problems)
    values = {name: data.get(name, _DEFAULTS.get(name, "")) for name in SIMPLE}
    return LaunchPage(
        values=values,
        environments=tuple(
            _choice(
                "environments",
                name,
                found.title,
                found.description,
                found.settings_type.model_fields,
                data,
                placed,
            )
            for name, found in REGISTRY.items()
        ),
        scaffolds=tuple(
            _choice(
                *("scaffolds", name, scaffold.title, scaffold.description),
                *(scaffold.settings_type.model_fields, data, placed),
            )
            for name, scaffold in SCAFFOLDS.items()
        ),
        endpoints=tuple(_endpoints(data, placed)),
        sampling=tuple(_sampling(data, placed)),
        stopping=tuple(_stopping(data, placed)),
        stops_early=_stops_early(data),
        budget=tuple(_budget(data, placed)),
        problems=placed,
        toml=as_toml(spec_of(data)),
    )


def _choice(
    kind: str,
    name: str,
    title: str,
    description: str,
    fields: Mapping[str, FieldInfo],
    data: QueryDict,
    placed: Mapping[str, tuple[str, ...]],
) -> Choice:
    return Choice(
        kind=kind,
        name=name,
        title=title,
        description=description,
        chosen=name in data.getlist(kind),
        settings=tuple(
            _setting(f"{kind}.{name}.{key}", key, field, data, placed) for key, field in fields.items()
        ),
        problems=placed.get(f"{kind}.{name}", ()),
    )


def _setting(
    input_name: str, name: str, field: FieldInfo, data: QueryDict, placed: Mapping[str, tuple[str, ...]]
) -> Setting:
    return Setting(
        input_name=input_name,
        name=name,
        description=field.description or "",
        default=_written(field.default) if field.default != {} else "none",
        accepted=_in_form_words(accepted(field)),
        value=data.get(input_name, ""),
        problems=placed.get(input_name, ()),
        is_long=any(getattr(bound, "max_length", 0) >= _LONG for bound in field.metadata),
    )


def _sampling(data: QueryDict, placed: Mapping[str, tuple[str, ...]]) -> Iterator[Setting]:
    for key, field in _SAMPLING.items():
        yield replace(_setting(f"sampling.{key}", key, field, data, placed), default="not sent")


def _stopping(data: QueryDict, placed: Mapping[str, tuple[str, ...]]) -> Iterator[Setting]:
    for key, field in _STOPPING.items():
        yield _setting(f"early_stopping.{key}", key, field, data, placed)


def _budget(data: QueryDict, placed: Mapping[str, tuple[str, ...]]) -> Iterator[Setting]:
    for key, field in Budget.model_fields.items():
        yield _setting(f"budget.{key}", key, field, data, placed)


def _stops_early(data: QueryDict) -> bool:
    return data.get("early_stopping", "") == "on"


def _endpoints(data: QueryDict, placed: Mapping[str, tuple[str, ...]]) -> Iterator[EndpointChoices]:
    for endpoint, choices in groupby(model_choices(), key=lambda choice: choice.endpoint):
        yield EndpointChoices(
            title=endpoint.title,
            simulated=endpoint.simulated,
            missing=endpoint.missing,
            models=tuple(_model(choice, data, placed) for choice in choices),
        )


def _model(choice: ModelChoice, data: QueryDict, placed: Mapping[str, tuple[str, ...]]) -> Choice:
    return Choice(
        kind="models",
        name=choice.name,
        title=choice.name,
        description=choice.endpoint.title,
        chosen=choice.name in data.getlist("models"),
        settings=(),
        problems=placed.get(f"models.{choice.name}", ()),
    )


def starting_data() -> QueryDict:
    """Returns the default values: the demo's scaffolds, and the first available model."""
    data = QueryDict(mutable=True)
    data.update(_DEFAULTS)
    data.setlist("scaffolds", list(SCAFFOLDS))
    reachable = next((choice.name for choice in model_choices() if not choice.endpoint.missing), None)
    data.setlist("models", [reachable] if reachable else [])
    return data


def spec_of(data: QueryDict) -> dict[str, Any]:
    """Returns the spec of the form, without validating it."""
    spec: dict[str, Any] = {
        name: _number_or_text(text) if name in _DEFAULTS else text
        for name in SIMPLE
        if (text := str(data.get(name, "")).strip())
    }
    sampling = {key: values[0] for key, values in _sampling_values(data).items() if len(values) == 1}
    if sampling:
        spec["sampling"] = sampling
    if _stops_early(data):
        spec["early_stopping"] = {
            key: next(_values(field, text))
            for key, field in _STOPPING.items()
            if (text := str(data.get(f"early_stopping.{key}", "")).strip())
        }
    budget = {
        key: _number_or_text(text)
        for key in Budget.model_fields
        if (text := str(data.get(f"budget.{key}", "")).strip())
    }
    if budget:
        spec["budget"] = budget
    return spec | {
        "models": [entry for _, entry in _entries("models", data)],
        "scaffolds": [entry for _, entry in _entries("scaffolds", data)],
        "environments": [entry for _, entry in _entries("environments", data)],
    }


def _entries(kind: str, data: QueryDict) -> Iterator[tuple[str, str | dict[str, Any]]]:
    """Yields the chosen names with their entries of the spec, one for each combination of the given values."""
    for name in data.getlist(kind):
        given = _given(kind, name, data)
        for combination in product(*given.values()):
            settings = dict(zip(given, combination, strict=True))
            yield name, {"name": name, **settings} if settings else name


def _given(kind: str, name: str, data: QueryDict) -> dict[str, list[Any]]:
    """Returns a map of setting → its values, for one chosen name."""
    if kind == "models":  # a sampling parameter with one value belongs to the experiment
        return {key: values for key, values in _sampling_values(data).items() if len(values) > 1}
    fields: Mapping[str, FieldInfo] = {}
    if kind == "environments" and name in REGISTRY:
        fields = REGISTRY[name].settings_type.model_fields
    elif kind == "scaffolds" and name in SCAFFOLDS:
        fields = SCAFFOLDS[name].settings_type.model_fields
    return {
        key: list(_values(field, text))
        for key, field in fields.items()
        if (text := str(data.get(f"{kind}.{name}.{key}", "")).strip())
    }


def _sampling_values(data: QueryDict) -> dict[str, list[Any]]:
    """Returns the given sampling parameters with their values."""
    parts = {
        key: [part.strip() for part in str(data.get(f"sampling.{key}", "")).split(",") if part.strip()]
        for key in _SAMPLING
    }
    return {key: [_number_or_text(part) for part in given] for key, given in parts.items() if given}


def _values(field: FieldInfo, text: str) -> Iterator[Any]:
    """Yields the values of an input in its field's type. Only plain text may contain a comma."""
    if _is_text(field.annotation):
        yield from filter(None, map(str.strip, text.split(","))) if _is_name(field) else [text]
        return
    if typing.get_origin(field.annotation) is dict:  # a list of names is one value
        yield [name.strip() for name in text.split(",") if name.strip()]
        return
    for part in filter(None, map(str.strip, text.split(","))):
        is_none = part.lower() == "none" and type(None) in typing.get_args(field.annotation)
        yield None if is_none else _number_or_text({"yes": "true", "no": "false"}.get(part.lower(), part))


def _number_or_text(text: str) -> Any:
    """Returns a number or bool (`500` → 500, `true` → True), and any other text as it is."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, int | float) and abs(value) < float("inf") else text


def _is_text(annotation: Any) -> bool:
    return annotation is str or (_is_union(annotation) and str in typing.get_args(annotation))


def _is_name(field: FieldInfo) -> bool:
    """Returns whether the texts of a field are names, so that an input may list several."""
    extra = field.json_schema_extra
    return isinstance(extra, Mapping) and bool(extra.get("is_name"))


def _is_union(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def _in_form_words(text: str) -> str:
    """Returns a message with `yes` and `no` in place of `true` and `false`."""
    return text.replace("true or false", "yes or no")


def placed_problems(data: QueryDict, problems: Sequence[Problem]) -> dict[str, tuple[str, ...]]:
    """Returns a map of input → its problems. `environments[1].path` belongs to the input of the second entry."""
    placed: dict[str, list[str]] = {}
    for problem in problems:
        placed.setdefault(_place(data, problem.field), []).append(_in_form_words(problem.message))
    return {place: tuple(dict.fromkeys(messages)) for place, messages in placed.items()}


def _place(data: QueryDict, field: str) -> str:
    found = _INDEXED.fullmatch(field)
    if found is None:
        known = (*SIMPLE, "models", "scaffolds", "environments", *_tables())
        return field if field in known else ""
    kind, index, setting = found[1], int(found[2]), found[3]
    names = [name for name, _ in _entries(kind, data)]
    if kind == "models" and setting in _SAMPLING:
        return f"sampling.{setting}"
    if index >= len(names):
        return kind
    return f"{kind}.{names[index]}" + (f".{setting}" if setting and setting != "name" else "")


def _tables() -> Iterator[str]:
    """Yields the inputs of the spec's tables."""
    yield from (f"sampling.{key}" for key in _SAMPLING)
    yield "early_stopping"
    yield from (f"early_stopping.{key}" for key in _STOPPING)
    yield from (f"budget.{key}" for key in Budget.model_fields)
