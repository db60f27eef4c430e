"""The models that an arm's rollouts call, and which of them have no known price."""

from __future__ import annotations

from collections.abc import Iterable

from ..engine.environments.base import Environment
from ..engine.environments.registry import REGISTRY
from ..engine.events import Usage
from ..engine.scaffolds import registry
from ..models import Arm, Experiment
from .prices import prices

_ONE = Usage(prompt=1, completion=1)


def models_in_use(
    *, environment: str, scaffold: str, settings: dict[str, object], model: str, sub_model: str, judge_model: str
) -> list[str]:
    """Returns the models that an arm's rollouts call. The sub-model and the judge are included only if they are
    used.
    """
    found = [model]
    if registry.sub_llm_levels(scaffold, settings):
        found.append(sub_model)
    of_environment = REGISTRY.get(environment)
    if of_environment is not None and of_environment.judge_prompt is not Environment.judge_prompt:
        found.append(judge_model or model)
    return list(dict.fromkeys(found))


def models_of(arm: Arm) -> list[str]:
    """Returns the models that an arm's rollouts call."""
    return models_in_use(
        environment=arm.environment,
        scaffold=arm.scaffold,
        settings=arm.scaffold_settings,
        model=arm.model,
        sub_model=arm.sub_model,
        judge_model=arm.judge_model,
    )


def unpriced(models: Iterable[str]) -> list[str]:
    """Returns the models that have no known price."""
    listed = prices()
    return [model for model in dict.fromkeys(models) if listed.dollars(model, _ONE) is None]


def unpriced_models(experiment: Experiment) -> list[str]:
    """Returns the models of an experiment that have no known price."""
    return unpriced(model for arm in experiment.arms.all() for model in models_of(arm))
