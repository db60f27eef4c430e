"""Custom scaffolds: from the folder in RLM_SCAFFOLDS_DIR and the entry points `rlm_runs.scaffolds`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

from ..extensions import Extensions
from .base import Scaffold
from .settings import ScaffoldSettings

_KEY = re.compile(r"[a-z][a-z0-9_]{0,39}")
_COLOUR = re.compile(r"(#[0-9a-f]{6})?")
_RESERVED = frozenset(
    (
        *("other", "accent", "code", "comment", "failed", "fine", "ink", "keyword", "large", "line", "mono"),
        *("number", "paper", "part", "raised", "ramp", "repl", "row", "sans", "side", "small", "soft"),
        *("string", "sunken", "text", "warn"),
    )
)
"""Keys that the pages' stylesheet uses as names of other custom properties."""


class CustomScaffoldError(Exception):
    """A file or an entry point does not give a usable scaffold. The message names it."""


EXTENSIONS: Extensions[Scaffold[Any]] = Extensions(
    base=Scaffold,  # type: ignore[type-abstract]  # only its subclasses are instantiated
    folder_variable="RLM_SCAFFOLDS_DIR",
    entry_points="rlm_runs.scaffolds",
    module_prefix="rlm_runs_custom_scaffolds_",
    error=CustomScaffoldError,
)


def add_to(registry: dict[str, type[Scaffold[Any]]]) -> None:
    """Adds the custom scaffolds. Raises CustomScaffoldError for one that cannot be used."""
    for where, scaffold in EXTENSIONS.all():
        if problem := _problem(scaffold, registry=registry):
            raise CustomScaffoldError(f"{where}: the scaffold {scaffold.__name__} cannot be used: {problem}")
        registry[scaffold.key] = scaffold


def _problem(scaffold: type[Scaffold[Any]], *, registry: Mapping[str, type[Scaffold[Any]]]) -> str:
    """Returns the reason why a class cannot be a scaffold; "" if it can."""
    if inspect.isabstract(scaffold):
        return f"it lacks {', '.join(sorted(scaffold.__abstractmethods__))}"
    missing = [
        name for name in ("key", "title", "description") if not isinstance(getattr(scaffold, name, None), str)
    ]
    if missing:
        return f"it has no {', '.join(missing)}"
    settings = getattr(scaffold, "settings_type", None)
    if not (inspect.isclass(settings) and issubclass(settings, ScaffoldSettings)):
        return "its settings_type is no subclass of ScaffoldSettings"
    if not _KEY.fullmatch(scaffold.key) or scaffold.key in _RESERVED:
        return f"its key {scaffold.key!r} is reserved, or not up to 40 lower-case letters, digits and underscores"
    if scaffold.key in registry:
        return f"there is a scaffold {scaffold.key!r} already"
    if not _COLOUR.fullmatch(scaffold.colour):
        return f"its colour {scaffold.colour!r} is not of the form #0072b2"
    return ""
