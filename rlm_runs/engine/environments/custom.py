"""Custom environments: from the folder in RLM_ENVIRONMENTS_DIR and the entry points `rlm_runs.environments`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from ..extensions import Extensions
from .base import Environment, EnvironmentFault, Settings

MODULE_PREFIX = "rlm_runs_own_environments_"

EnvironmentType = type[Environment[Any]]


class CustomEnvironmentError(EnvironmentFault):
    """A file or an entry point does not give a usable environment. The message names it."""


EXTENSIONS: Extensions[Environment[Any]] = Extensions(
    base=Environment,  # type: ignore[type-abstract]  # only its subclasses are instantiated
    folder_variable="RLM_ENVIRONMENTS_DIR",
    entry_points="rlm_runs.environments",
    module_prefix=MODULE_PREFIX,
    error=CustomEnvironmentError,
)
from_folder = EXTENSIONS.from_folder


def add_custom(registry: dict[str, EnvironmentType]) -> None:
    """Adds the custom environments. Raises CustomEnvironmentError for one that cannot be used."""
    for where, environment in EXTENSIONS.all():
        _check(environment, where=where, registry=registry)
        registry[environment.name] = environment


def _check(found: EnvironmentType, *, where: str, registry: Mapping[str, EnvironmentType]) -> None:
    wrong = ""
    missing = [
        name for name in ("name", "title", "description") if not isinstance(getattr(found, name, None), str)
    ]
    settings = getattr(found, "settings_type", None)
    if inspect.isabstract(found):
        wrong = f"it lacks {', '.join(sorted(found.__abstractmethods__))}"
    elif missing:
        wrong = f"it has no {', '.join(missing)}"
    elif not (inspect.isclass(settings) and issubclass(settings, Settings)):
        wrong = "its settings_type is no subclass of Settings"
    elif found.name in registry:
        wrong = f"there is an environment {found.name!r} already"
    if wrong:
        raise CustomEnvironmentError(f"{where}: the environment {found.__name__} cannot be used: {wrong}")
