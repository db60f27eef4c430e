"""The base of all settings in a spec: frozen, without unknown names, with `none` for None."""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, model_validator


class Settings(BaseModel):
    """Base of the settings of environments and scaffolds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _none_by_name(cls, given: Any) -> Any:
        """Replaces the word `none` by None where a setting allows it, because TOML has no null."""
        if not isinstance(given, Mapping):
            return given
        return {name: None if cls._says_none(name, value) else value for name, value in given.items()}

    @classmethod
    def _says_none(cls, name: str, value: Any) -> bool:
        known = cls.model_fields.get(name)
        optional = known is not None and NoneType in get_args(known.annotation)
        return optional and isinstance(value, str) and value.strip().lower() == "none"
