"""The plan of a spec: the arms of its cross product, with the objects behind its names."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ..engine.environments.base import Environment, Settings
from ..engine.environments.registry import REGISTRY
from ..engine.scaffolds.base import Scaffold
from ..engine.scaffolds.registry import REGISTRY as SCAFFOLDS
from ..engine.scaffolds.settings import ScaffoldSettings
from ..execution.arm_models import models_in_use, unpriced
from ..execution.endpoints import ModelChoice, model_choices
from .problems import Problem, SpecError, problems_of, unknown
from .spec import TABLES, Entry, ExperimentSpec, Sampling

SettingsT = TypeVar("SettingsT", bound=BaseModel)


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
        raise SpecError(problems_of(error, allowed=ExperimentSpec.model_fields, tables=TABLES)) from error
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
        problems.append(Problem(field, unknown("model", name, choices) + hint))
    elif model.endpoint.missing:
        problems.append(Problem(field, f"{name} cannot be reached: {model.endpoint.missing}"))
    return model


def _environment(entry: Entry, *, field: str, problems: list[Problem]) -> Environment[Settings] | None:
    environment_type = REGISTRY.get(entry.name)
    if environment_type is None:
        problems.append(Problem(f"{field}.name", unknown("environment", entry.name, REGISTRY)))
        return None
    settings = _settings(environment_type.settings_type, entry, field=field, problems=problems)
    return None if settings is None else environment_type(settings)


def _scaffold(entry: Entry, *, field: str, problems: list[Problem]) -> Scaffold[Any] | None:
    scaffold_type = SCAFFOLDS.get(entry.name)
    if scaffold_type is None:
        problems.append(Problem(f"{field}.name", unknown("scaffold", entry.name, SCAFFOLDS)))
        return None
    settings = _settings(scaffold_type.settings_type, entry, field=field, problems=problems)
    return None if settings is None else scaffold_type(settings)


def _settings(
    settings_type: type[SettingsT], entry: Entry, *, field: str, problems: list[Problem]
) -> SettingsT | None:
    try:
        return settings_type.model_validate(entry.settings)
    except ValidationError as error:
        problems += problems_of(error, prefix=field, allowed=settings_type.model_fields, tables=TABLES)
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
                message = unknown(f"tips of {environment.name}", variant, environment.tips)
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
        problems.append(Problem("early_stopping.baseline", unknown("scaffold of this spec", baseline, names)))


def _as_json(settings: BaseModel) -> Any:
    return settings.model_dump(mode="json")
