"""Specs as TOML: written as `manage.py launch` reads them, and read from a file that was dropped or typed."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from rlm_runs.experiments.problems import Problem, SpecError


def read(text: str) -> dict[str, Any]:
    """Returns the spec of a TOML text. Raises SpecError with the line that is invalid."""
    try:
        return tomllib.loads(text.replace("\r\n", "\n"))
    except tomllib.TOMLDecodeError as error:
        found = re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", str(error), re.DOTALL)
        what, where = (found[1], f", line {found[2]}, column {found[3]}") if found else (str(error), "")
        raise SpecError([Problem("", f"not valid TOML{where}: {what[:1].lower()}{what[1:]}")]) from error


def as_toml(spec: Mapping[str, Any]) -> str:
    """Returns a spec as TOML that `manage.py launch` reads."""
    return "".join(f"{_key(key)} = {_value(value)}\n" for key, value in spec.items())


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if value is None:
        return '"none"'  # TOML has no null
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, Sequence) and not isinstance(value, str):
        long = any(isinstance(item, Mapping) for item in value)
        parts = [_value(item) for item in value]
        return "[\n  " + ",\n  ".join(parts) + ",\n]" if long else f"[{', '.join(parts)}]"
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _value(key)
