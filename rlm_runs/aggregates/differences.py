"""In which settings arms differ: what tells them apart in tables, figures and words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

from ..models import Arm


def differing_settings(arms: Sequence[Arm]) -> dict[int, tuple[tuple[str, str], ...]]:
    """Arm → the settings, in words, in which arms of the same environment or scaffold differ.

    Model, sub-model and sampling are compared over all arms.
    """
    sides: list[tuple[Callable[[Arm], dict[str, Any]], Callable[[Arm], str]]] = [
        (attrgetter("environment_settings"), attrgetter("environment")),
        (attrgetter("scaffold_settings"), attrgetter("scaffold")),
        (_model_settings, lambda arm: ""),
    ]
    found: dict[int, list[tuple[str, str]]] = {arm.pk: [] for arm in arms}
    for settings_of, peers_of in sides:
        values: dict[tuple[str, str], set[str]] = defaultdict(set)
        for arm in arms:
            for key in {key for peer in arms if peers_of(peer) == peers_of(arm) for key in settings_of(peer)}:
                values[peers_of(arm), key].add(in_words(settings_of(arm).get(key)))
        for arm in arms:
            keys = [key for (peers, key), seen in values.items() if peers == peers_of(arm) and len(seen) > 1]
            found[arm.pk] += [(key, in_words(settings_of(arm).get(key))) for key in sorted(keys)]
    return {pk: tuple(pairs) for pk, pairs in found.items()}


def _model_settings(arm: Arm) -> dict[str, Any]:
    others = {"sub-model": arm.sub_model, "judge": arm.judge_model}
    same = ("", arm.model)
    return {"model": arm.model, **arm.sampling} | {
        role: "the same" if model in same else model for role, model in others.items()
    }


def in_words(value: Any) -> str:
    """A setting as a reader sees it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
