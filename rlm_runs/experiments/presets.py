"""Presets: the article's experiments, as specs that come with the program."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.conf import settings

PRESETS = settings.BASE_DIR / "specs/presets"


@dataclass(frozen=True)
class Preset:
    """A spec that comes with the program. `name` is that of its file."""

    name: str
    spec: Mapping[str, Any]

    @property
    def title(self) -> str:
        """The name of the experiment."""
        return str(self.spec["name"])

    @property
    def question(self) -> str:
        """The question that the experiment answers."""
        return str(self.spec.get("description", ""))

    @property
    def arms(self) -> int:
        """The number of arms in the cross product."""
        return len(self.spec["environments"]) * len(self.spec["scaffolds"]) * len(self.spec["models"])


def preset_names() -> list[str]:
    """Returns the presets that come with the program."""
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


@cache
def presets() -> tuple[Preset, ...]:
    """Returns all presets, by name."""
    return tuple(Preset(name, tomllib.loads((PRESETS / f"{name}.toml").read_text())) for name in preset_names())
