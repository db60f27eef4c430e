"""All settings of arms side by side, and the settings in which the arms differ."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rlm_runs.models import Arm

ABSENT = "–"


@dataclass(frozen=True)
class SettingRow:
    """One setting of all arms, as text and in their order; ABSENT for an arm without it."""

    group: str
    name: str
    values: tuple[str, ...]

    @property
    def differs(self) -> bool:
        """Whether arms have different values."""
        return len(set(self.values)) > 1


def setting_rows(arms: Sequence[Arm]) -> tuple[SettingRow, ...]:
    """Returns every setting that any of the arms has. The arms must have their experiment loaded; it makes no
    query.
    """
    told = [dict(_settings(arm)) for arm in arms]
    order = {key: None for settings in told for key in settings}
    groups = list(dict.fromkeys(group for group, _ in order))
    return tuple(
        SettingRow(
            group=group,
            name=name,
            values=tuple(
                _as_text(settings[group, name]) if (group, name) in settings else ABSENT for settings in told
            ),
        )
        for group, name in sorted(order, key=lambda key: groups.index(key[0]))
    )


def _settings(arm: Arm) -> Iterator[tuple[tuple[str, str], Any]]:
    yield ("environment", "name"), arm.environment
    yield from ((("environment", key), value) for key, value in sorted(arm.environment_settings.items()))
    yield ("scaffold", "name"), arm.scaffold_title
    yield from ((("scaffold", key), value) for key, value in sorted(arm.scaffold_settings.items()))
    yield ("model", "model"), arm.model
    yield ("model", "sub-model"), arm.sub_model
    yield ("model", "judge"), arm.judge_model or "none"
    yield ("model", "endpoint"), arm.endpoint
    yield from ((("sampling", key), value) for key, value in sorted(arm.sampling.items()))
    yield ("run", "sandbox image"), arm.sandbox_image or "none"
    yield ("run", "code version"), arm.experiment.code_version or "not recorded"
    yield ("run", "experiment"), arm.experiment.name
    yield ("run", "seed"), arm.experiment.seed


def _as_text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
