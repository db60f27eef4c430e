"""The baseline of each arm, for the experiment page and for early stopping."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rlm_runs.engine.scaffolds import registry
from rlm_runs.models import Experiment


class Side(Protocol):
    """An arm's scaffold, its environment, and what it shares with the arms that it competes with (`group`)."""

    @property
    def scaffold(self) -> str: ...
    @property
    def environment(self) -> str: ...
    @property
    def group(self) -> str: ...


def chosen_baseline(experiment: Experiment) -> str | None:
    """Returns the scaffold that the experiment's early stopping names as its baseline; None without one."""
    table = experiment.spec.get("early_stopping") or {}
    return table.get("baseline")


def baselines(arms: Sequence[Side], *, chosen: str | None = None) -> tuple[list[int | None], bool]:
    """Returns the place of each arm's baseline, None for a baseline itself; and whether a scaffold is the
    baseline.

    The baseline is the first arm of the group with the chosen scaffold, by default with a scaffold that is a
    baseline. An experiment of one scaffold compares something else, such as models. In this case, the first arm of
    each environment is the baseline.
    """
    first: dict[str, int] = {}
    for at, arm in enumerate(arms):
        if arm.scaffold == chosen if chosen else registry.is_baseline(arm.scaffold):
            first.setdefault(arm.group, at)
    found: list[int | None] = []
    for at, arm in enumerate(arms):
        is_one = first.get(arm.group) == at if chosen else registry.is_baseline(arm.scaffold)
        found.append(None if is_one else first.get(arm.group))
    if any(base is not None for base in found):
        return found, True
    first = {}
    for at, arm in enumerate(arms):
        first.setdefault(arm.environment, at)
    return [first[arm.environment] if first[arm.environment] != at else None for at, arm in enumerate(arms)], False
