"""Problems of a spec, each with its field, in words for the author of a TOML file."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from . import wording


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


def unknown(what: str, name: str, allowed: Iterable[str]) -> str:
    """Returns the message for a name that is not allowed, with the closest that is."""
    names = list(allowed)
    close = difflib.get_close_matches(name, names, n=1)
    guess = f" (did you mean {close[0]}?)" if close else ""
    return f"unknown {what} {name!r}{guess}; allowed: {', '.join(names)}"


def problems_of(
    error: ValidationError,
    *,
    allowed: Mapping[str, Any],
    tables: Mapping[str, type[BaseModel]] | None = None,
    prefix: str = "",
) -> list[Problem]:
    """Returns the problems that pydantic found.

    `allowed` are the settings at the top, `tables` the types of fields that are tables with settings of their own.
    """
    return [
        Problem(_path(detail["loc"], prefix=prefix), _message(detail, allowed=allowed, tables=tables or {}))
        for detail in error.errors(include_url=False)
        # A list whose only entry is invalid also counts as too short. The entry's own problem is clearer.
        if not (detail["type"] == "too_short" and detail["input"])
    ]


def _path(location: tuple[int | str, ...], *, prefix: str) -> str:
    path = prefix
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path


def _message(detail: ErrorDetails, *, allowed: Mapping[str, Any], tables: Mapping[str, type[BaseModel]]) -> str:
    *within, name = detail["loc"] or ("",)
    table = tables.get(str(within[0])) if within else None
    fields = table.model_fields if table else {} if within else allowed
    if detail["type"] == "extra_forbidden" and fields:
        return unknown("setting", str(name), fields)
    return wording.message(detail, fields.get(str(name)))
