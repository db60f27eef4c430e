"""Environments of one's own: files of a folder, and entry points of installed packages.

Both are looked for once, when the registry is made. What is broken is said then, by name, and nothing starts: an
environment that is silently missing would be found missing in the middle of an experiment.
"""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from .base import Environment, EnvironmentFault, Settings

FOLDER_VARIABLE = "RLM_ENVIRONMENTS_DIR"
ENTRY_POINTS = "rlm_runs.environments"
MODULE_PREFIX = "rlm_runs_own_environments_"

EnvironmentType = type[Environment[Any]]


class OwnEnvironmentError(EnvironmentFault):
    """A file or an entry point that gives no environment; the message names it."""


def add_own(registry: dict[str, EnvironmentType]) -> None:
    """Fills the registry with what the folder of the environment variable and the installed packages give."""
    folder = os.environ.get(FOLDER_VARIABLE, "")
    for where, found in [*(from_folder(Path(folder)) if folder else ()), *from_entry_points()]:
        _check(found, where=where, registry=registry)
        registry[found.name] = found


def from_folder(folder: Path) -> Iterator[tuple[str, EnvironmentType]]:
    """Each environment with the file that defines it; files that begin with an underscore are left alone."""
    if not folder.is_dir():
        raise OwnEnvironmentError(f"{FOLDER_VARIABLE} names {folder}, which is no folder")
    for path in sorted(folder.glob("[!_.]*.py")):
        module = _imported(path)
        defined = [
            one for one in vars(module).values() if _is_environment(one) and one.__module__ == module.__name__
        ]
        if not defined:
            raise OwnEnvironmentError(f"{path} defines no subclass of Environment (a file that starts with _ may)")
        for one in defined:
            yield str(path), one


def from_entry_points() -> Iterator[tuple[str, EnvironmentType]]:
    """Each environment that an installed package names in the group `rlm_runs.environments`."""
    for point in entry_points(group=ENTRY_POINTS):
        where = f"the entry point {point.name} = {point.value!r}"
        try:
            found = point.load()
        except Exception as error:
            raise OwnEnvironmentError(f"{where} cannot be loaded: {_told(error)}") from error
        if not _is_environment(found):
            raise OwnEnvironmentError(f"{where} is no subclass of Environment")
        yield where, found


def _imported(path: Path) -> ModuleType:
    name = MODULE_PREFIX + path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # pydantic and dataclasses look their classes' modules up by name.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise OwnEnvironmentError(f"{path} cannot be loaded: {_told(error, path=path)}") from error
    return module


def _told(error: Exception, *, path: Path | None = None) -> str:
    """The error with the line of the file in which it came up."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
    return f"{type(error).__name__}: {error}" + (f" (line {line})" if line else "")


def _is_environment(found: object) -> bool:
    return inspect.isclass(found) and issubclass(found, Environment) and found is not Environment


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
        raise OwnEnvironmentError(f"{where}: the environment {found.__name__} cannot be used: {wrong}")
