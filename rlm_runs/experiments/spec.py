"""Specs of experiments, validated as a whole before anything is written.

    name = "oolong by scaffold"
    examples = 50
    seed = 7
    models = ["gpt-5-mini", { name = "gpt-4.1-mini", temperature = 0.2 }]
    scaffolds = ["llm", "rlm", { name = "rlm", cell_time_limit = 300 }]
    environments = ["verbatim-copy", { name = "oolong", labels = true }]

The arms are the cross product of environments, scaffolds and models. An entry is a name, or a table with the name
and its settings. A model's settings are its sampling, which overrides the experiment's, its sub-model and its
judge. A table `[early_stopping]` ends arms before their last rollout, and `[budget]` pauses the experiment. All
problems are reported together, each with its field and the allowed values.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import ErrorDetails

from ..analysis.early_stopping import EarlyStopping
from ..engine.environments.base import Environment, Settings
from ..engine.environments.registry import REGISTRY
from ..engine.scaffolds.base import Scaffold
from ..engine.scaffolds.registry import REGISTRY as SCAFFOLDS
from ..engine.scaffolds.settings import ScaffoldSettings
from ..execution.arm_models import models_in_use, unpriced
from ..execution.endpoints import ModelChoice, model_choices

SettingsT = TypeVar("SettingsT", bound=BaseModel)


@dataclass(frozen=True)
class Problem:
    """A problem of one field. `field` is a path such as `environments[1].target_length`, "" for the whole spec."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


class SpecError(ValueError):
    """A spec that cannot be launched, with all its problems. Nothing was written."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


class Entry(BaseModel):
    """A name with settings. Without settings it is written as the bare name."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str

    @property
    def settings(self) -> dict[str, Any]:
        """The settings beside the name."""
        return dict(self.model_extra or {})


class Sampling(BaseModel):
    """Sampling parameters of every model call. Unset ones are not sent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    temperature: float | None = Field(default=None, ge=0, le=2, description="From 0 to 2.")
    top_p: float | None = Field(
        default=None, gt=0, le=1, description="Part of the probability that tokens are drawn from."
    )
    max_tokens: int | None = Field(default=None, ge=1, description="Tokens of a completion, at most.")
    max_completion_tokens: int | None = Field(
        default=None, ge=1, description="The same, by the name that OpenAI's newer models know it by."
    )
    reasoning_effort: str | None = Field(
        default=None, description="How long the model thinks, in its server's words, such as low or high."
    )
    stream: bool | None = Field(
        default=None, description="true: answers are sent as they are written. Not given: as the endpoint says."
    )
    extra_body: dict[str, Any] | None = None

    @property
    def given(self) -> dict[str, Any]:
        """The parameters that are sent."""
        values = {name: getattr(self, name) for name in Sampling.model_fields}
        return {name: value for name, value in values.items() if value is not None}

    def before(self, other: Sampling) -> Sampling:
        """Returns these parameters over the other's, name by name, also within `extra_body`."""
        merged = {**other.given, **self.given}
        if "extra_body" in merged:
            merged["extra_body"] = {**(other.extra_body or {}), **(self.extra_body or {})}
        return Sampling(**merged)


class ModelEntry(Sampling):
    """A model with its own settings. Its sampling overrides the experiment's, name by name."""

    name: str
    sub_model: str | None = None
    judge_model: str | None = None


class Budget(BaseModel):
    """The total that the experiment may spend. It pauses before a call that would exceed it. None means no
    limit.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    dollars: Decimal | None = Field(
        default=None, gt=0, lt=10**8, allow_inf_nan=False, description="Dollars, judges included."
    )
    tokens: int | None = Field(default=None, ge=1, lt=10**15, description="Prompt and completion tokens.")
    hours: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="Hours in which any of its rollouts runs."
    )

    def written(self) -> dict[str, float | int]:
        """Returns the limits that are set."""
        limits = {"dollars": None if self.dollars is None else float(self.dollars)}
        return {
            name: value
            for name, value in {**limits, "tokens": self.tokens, "hours": self.hours}.items()
            if value is not None
        }


class ExperimentSpec(BaseModel):
    """The spec's own fields. `resolve` validates what the entries name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=200)
    description: str = ""
    examples: int = Field(ge=1, le=100_000)
    seed: int = Field(default=0, ge=0, lt=2**63)
    repetitions: int = Field(default=1, ge=1, le=1000)
    models: tuple[ModelEntry, ...] = Field(min_length=1)
    sub_model: str | None = None
    judge_model: str | None = None
    scaffolds: tuple[Entry, ...] = Field(min_length=1)
    environments: tuple[Entry, ...] = Field(min_length=1)
    sampling: Sampling = Sampling()
    early_stopping: EarlyStopping | None = None
    budget: Budget = Budget()

    @field_validator("models", "scaffolds", "environments", mode="before")
    @classmethod
    def _names_as_entries(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            return value
        return [{"name": item} if isinstance(item, str) else item for item in value]

    @field_validator("name")
    @classmethod
    def _check_name(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("must not be blank")
        return value.strip()

    def written(self) -> dict[str, Any]:
        """Returns the spec in a form that can be launched again.

        It uses only values that JSON and TOML share, and therefore the word `none` for None.
        """
        fields = self.model_dump(mode="json", exclude_none=True)
        models = [_written(entry.model_dump(mode="json", exclude_none=True)) for entry in self.models]
        entries = {
            "scaffolds": [_written(entry.model_dump(mode="json")) for entry in self.scaffolds],
            "environments": [_written(entry.model_dump(mode="json")) for entry in self.environments],
        }
        stopping = {"early_stopping": self.early_stopping.written()} if self.early_stopping else {}
        fields.pop("budget")
        budget = {"budget": written} if (written := self.budget.written()) else {}
        return {**fields, "models": models, **entries, **stopping, **budget}


def _written(entry: Mapping[str, Any]) -> str | dict[str, Any]:
    """Returns an entry as a table; as the bare name if it has no settings."""
    if len(entry) == 1:
        return str(entry["name"])
    return {name: "none" if value is None else value for name, value in entry.items()}


@dataclass(frozen=True)
class PlannedArm:
    """One arm of the cross product. `environment_index` is the position of its entry in the spec."""

    environment_index: int
    environment: Environment[Settings]
    driver: Scaffold[Any]
    model: ModelChoice
    sub_model: ModelChoice
    judge_model: ModelChoice
    sampling: Sampling

    @property
    def scaffold(self) -> str:
        """The key of the scaffold."""
        return self.driver.key

    @property
    def scaffold_settings(self) -> ScaffoldSettings:
        """The settings of the scaffold."""
        settings: ScaffoldSettings = self.driver.settings
        return settings

    @property
    def needs_sandbox(self) -> bool:
        """Whether the arm runs code."""
        return self.driver.needs_sandbox(self.environment)

    @property
    def coders(self) -> tuple[ModelChoice, ...]:
        """The models whose code runs: the root's, and the sub-model if sub-LLMs have REPLs."""
        if not self.needs_sandbox:
            return ()
        return (self.model, self.sub_model) if self.driver.sub_llms_run_code else (self.model,)

    @property
    def packages(self) -> tuple[str, ...]:
        """The pip requirements of the arm's sandbox."""
        return tuple(self.driver.packages(self.environment))


@dataclass(frozen=True)
class Plan:
    """A valid spec, with the objects behind its names."""

    spec: ExperimentSpec
    environments: tuple[Environment[Settings], ...]
    arms: tuple[PlannedArm, ...]


def resolve(raw: Mapping[str, Any]) -> Plan:
    """Returns the plan of a spec read from TOML, JSON or a form. Raises SpecError with every problem."""
    try:
        spec = ExperimentSpec.model_validate(dict(raw))
    except ValidationError as error:
        raise SpecError(_problems_of(error, allowed=ExperimentSpec.model_fields)) from error
    problems: list[Problem] = []
    models = list(_models(spec, problems))
    environments = [
        _environment(entry, field=f"environments[{index}]", problems=problems)
        for index, entry in enumerate(spec.environments)
    ]
    scaffolds = [
        _scaffold(entry, field=f"scaffolds[{index}]", problems=problems)
        for index, entry in enumerate(spec.scaffolds)
    ]
    if not problems:
        _check_tips(environments, scaffolds, problems)
    if not problems:
        _check_duplicates("models", map(_model_key, models), problems)
        _check_duplicates("scaffolds", ((one.key, one.settings) for one in scaffolds if one), problems)
        _check_duplicates("environments", ((one.name, one.settings) for one in environments if one), problems)
    _check_baseline(spec, problems)
    if not problems:
        _check_dollars(spec, models, scaffolds, environments, problems)
    if problems:
        raise SpecError(problems)
    arms = tuple(
        PlannedArm(
            environment_index=index,
            environment=environment,
            driver=scaffold,
            model=model.model,
            sub_model=model.sub_model,
            judge_model=model.judge_model,
            sampling=model.sampling,
        )
        for index, environment in enumerate(environments)
        if environment is not None
        for scaffold in scaffolds
        if scaffold is not None
        for model in models
    )
    return Plan(
        spec=spec,
        environments=tuple(environment for environment in environments if environment is not None),
        arms=arms,
    )


def offline(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the same spec on generated data, which needs no network. Entries that become equal are merged.

    Raises SpecError if the spec is invalid.
    """
    entries: list[dict[str, Any]] = []
    for environment in resolve(raw).environments:
        settings = type(environment).offline(environment.settings.model_dump(exclude_unset=True))
        entry = {"name": environment.name, **settings}
        if entry not in entries:
            entries.append(entry)
    return {**raw, "environments": entries}


@dataclass(frozen=True)
class _PlannedModel:
    model: ModelChoice
    sub_model: ModelChoice
    judge_model: ModelChoice
    sampling: Sampling


def _models(spec: ExperimentSpec, problems: list[Problem]) -> Iterator[_PlannedModel]:
    """Yields each entry of `models`. A role that neither the entry nor the spec names falls to the model
    itself.
    """
    sub_model = _model_or_none(spec.sub_model, field="sub_model", problems=problems)
    judge_model = _model_or_none(spec.judge_model, field="judge_model", problems=problems)
    for index, entry in enumerate(spec.models):
        field = f"models[{index}]"
        model = _model(entry.name, field=field, problems=problems)
        own_sub = _model_or_none(entry.sub_model, field=f"{field}.sub_model", problems=problems)
        own_judge = _model_or_none(entry.judge_model, field=f"{field}.judge_model", problems=problems)
        if model is not None:
            yield _PlannedModel(
                model=model,
                sub_model=own_sub or sub_model or model,
                judge_model=own_judge or judge_model or model,
                sampling=entry.before(spec.sampling),
            )


def _model_or_none(name: str | None, *, field: str, problems: list[Problem]) -> ModelChoice | None:
    return None if name is None else _model(name, field=field, problems=problems)


def _model_key(one: _PlannedModel) -> list[Any]:
    return [one.model.name, one.sub_model.name, one.judge_model.name, one.sampling]


def _model(name: str, *, field: str, problems: list[Problem]) -> ModelChoice | None:
    choices = {choice.name: choice for choice in model_choices()}
    model = choices.get(name)
    if model is None:
        hint = "; add others to endpoints.toml, or to RLM_EXTRA_MODELS"
        problems.append(Problem(field, _unknown("model", name, choices) + hint))
    elif model.endpoint.missing:
        problems.append(Problem(field, f"{name} cannot be reached: {model.endpoint.missing}"))
    return model


def _environment(entry: Entry, *, field: str, problems: list[Problem]) -> Environment[Settings] | None:
    environment_type = REGISTRY.get(entry.name)
    if environment_type is None:
        problems.append(Problem(f"{field}.name", _unknown("environment", entry.name, REGISTRY)))
        return None
    settings = _settings(environment_type.settings_type, entry, field=field, problems=problems)
    return None if settings is None else environment_type(settings)


def _scaffold(entry: Entry, *, field: str, problems: list[Problem]) -> Scaffold[Any] | None:
    scaffold_type = SCAFFOLDS.get(entry.name)
    if scaffold_type is None:
        problems.append(Problem(f"{field}.name", _unknown("scaffold", entry.name, SCAFFOLDS)))
        return None
    settings = _settings(scaffold_type.settings_type, entry, field=field, problems=problems)
    return None if settings is None else scaffold_type(settings)


def _settings(
    settings_type: type[SettingsT], entry: Entry, *, field: str, problems: list[Problem]
) -> SettingsT | None:
    try:
        return settings_type.model_validate(entry.settings)
    except ValidationError as error:
        problems += _problems_of(error, prefix=field, allowed=settings_type.model_fields)
        return None


def _check_tips(
    environments: Sequence[Environment[Settings] | None],
    scaffolds: Sequence[Scaffold[Any] | None],
    problems: list[Problem],
) -> None:
    for index, scaffold in enumerate(scaffolds):
        if scaffold is None or not scaffold.takes_tips:
            continue
        variant = getattr(scaffold.settings, "tips", "")
        for environment in filter(None, environments):
            if not environment.tips:
                problems.append(Problem(f"scaffolds[{index}]", f"{environment.name} has no tips"))
            elif variant and variant not in environment.tips:
                message = _unknown(f"tips of {environment.name}", variant, environment.tips)
                problems.append(Problem(f"scaffolds[{index}].tips", message))


def _check_duplicates(kind: str, entries: Iterable[Any], problems: list[Problem]) -> None:
    """Reports entries that are equal to an earlier one, because they would create the same arms twice."""
    seen: dict[str, int] = {}
    for index, entry in enumerate(entries):
        twin = seen.setdefault(json.dumps(entry, default=_as_json, sort_keys=True), index)
        if twin != index:
            problems.append(Problem(f"{kind}[{index}]", f"makes the same arms as entry {twin + 1} of {kind}"))


def _check_dollars(
    spec: ExperimentSpec,
    models: Sequence[_PlannedModel],
    scaffolds: Sequence[Scaffold[Any] | None],
    environments: Sequence[Environment[Settings] | None],
    problems: list[Problem],
) -> None:
    """Reports models without a price if a budget in dollars is set, which cannot limit an unknown cost."""
    for index, scaffold in enumerate(scaffolds):
        if scaffold is None:
            continue
        used = unpriced(
            name
            for model in models
            for environment in environments
            if environment is not None
            for name in models_in_use(
                environment=environment.name,
                scaffold=scaffold.key,
                settings=scaffold.settings.model_dump(),
                model=model.model.name,
                sub_model=model.sub_model.name,
                judge_model=model.judge_model.name,
            )
        )
        message = f"cannot be enforced: {', '.join(used)} has no price; give it one in endpoints.toml"
        if used and scaffold.settings.max_dollars is not None:
            problems.append(Problem(f"scaffolds[{index}].max_dollars", message))
        if used and spec.budget.dollars is not None and all(each.field != "budget.dollars" for each in problems):
            problems.append(Problem("budget.dollars", message))


def _check_baseline(spec: ExperimentSpec, problems: list[Problem]) -> None:
    """Reports a baseline of early stopping that is not one of the scaffolds."""
    names = [entry.name for entry in spec.scaffolds]
    baseline = spec.early_stopping.baseline if spec.early_stopping else None
    if baseline is not None and baseline not in names:
        problems.append(Problem("early_stopping.baseline", _unknown("scaffold of this spec", baseline, names)))


def _as_json(settings: BaseModel) -> Any:
    return settings.model_dump(mode="json")


def _unknown(what: str, name: str, allowed: Iterable[str]) -> str:
    names = list(allowed)
    close = difflib.get_close_matches(name, names, n=1)
    guess = f" (did you mean {close[0]}?)" if close else ""
    return f"unknown {what} {name!r}{guess}; allowed: {', '.join(names)}"


def _problems_of(error: ValidationError, *, allowed: Mapping[str, Any], prefix: str = "") -> list[Problem]:
    return [
        Problem(_path(detail["loc"], prefix=prefix), _message(detail, allowed=allowed))
        for detail in error.errors(include_url=False)
        # A list whose only entry is invalid also counts as too short. The entry's own problem is clearer.
        if not (detail["type"] == "too_short" and detail["input"])
    ]


def _path(location: tuple[int | str, ...], *, prefix: str) -> str:
    path = prefix
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path


def _message(detail: ErrorDetails, *, allowed: Mapping[str, Any]) -> str:
    kind, given = detail["type"], detail["input"]
    if kind == "extra_forbidden":
        *within, name = detail["loc"]
        table = _TABLES.get(str(within[0])) if within else None
        if table or not within:
            return _unknown("setting", str(name), table.model_fields if table else allowed)
    if kind in _IN_OUR_WORDS:
        return _IN_OUR_WORDS[kind]
    message = detail["msg"].removeprefix("Value error, ")
    return f"{message[:1].lower()}{message[1:]}, not {given!r}"[:500]


_TABLES: dict[str, type[BaseModel]] = {
    "sampling": Sampling,
    "models": ModelEntry,
    "early_stopping": EarlyStopping,
    "budget": Budget,
}
"""The fields of a spec that are tables with their own settings."""

_IN_OUR_WORDS = {
    "missing": "is missing",
    "too_short": "must not be empty",
    "tuple_type": "must be a list",
    "model_type": "must be a name, or a table with a name and settings",
}
"""pydantic's messages about its own types, reworded for authors of TOML."""
