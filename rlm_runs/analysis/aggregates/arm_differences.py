"""The settings in which arms differ, which name the arms in tables, figures and sentences."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any

from rlm_runs.models import Arm


class _Absent:
    """The value of an arm or example that lacks the key."""


ABSENT = _Absent()


def differing_settings(arms: Sequence[Arm]) -> dict[int, tuple[tuple[str, str], ...]]:
    """Returns a map of arm → the settings, as text, in which arms of the same environment or scaffold differ.

    Model, sub-model and sampling are compared over all arms.
    """
    sides: list[tuple[Callable[[Arm], dict[str, Any]], Callable[[Arm], str]]] = [
        (attrgetter("environment_settings"), attrgetter("environment")),
        (attrgetter("scaffold_settings"), attrgetter("scaffold")),
        (_model_settings, lambda arm: ""),
    ]
    found: dict[int, list[tuple[str, str]]] = {arm.pk: [] for arm in arms}
    for settings_of, peers_of in sides:
        values: dict[tuple[str, str], list[Any]] = defaultdict(list)
        for arm in arms:
            for key in {key for peer in arms if peers_of(peer) == peers_of(arm) for key in settings_of(peer)}:
                values[peers_of(arm), key].append(settings_of(arm).get(key))
        words = {place: distinct_labels(seen) for place, seen in values.items()}
        for arm in arms:
            own = {key: told for (peers, key), told in words.items() if peers == peers_of(arm) and len(told) > 1}
            found[arm.pk] += [(key, own[key][identity(settings_of(arm).get(key))]) for key in sorted(own)]
    return {pk: tuple(pairs) for pk, pairs in found.items()}


def _model_settings(arm: Arm) -> dict[str, Any]:
    others = {"sub-model": arm.sub_model, "judge": arm.judge_model}
    same = ("", arm.model)
    return {"model": arm.model, **arm.sampling} | {
        role: "the same" if model in same else model for role, model in others.items()
    }


def in_words(value: Any) -> str:
    """Returns a setting as readers see it."""
    if value is ABSENT:
        return "not set"
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(_as_int(value))


def identity(value: Any) -> str:
    """Returns an equal text for equal values, "" for an absent one: 5 equals 5.0, and neither equals "5"."""
    if value is ABSENT:
        return ""
    return json.dumps(_as_int(value), sort_keys=True, default=str)


def _as_int(value: Any) -> Any:
    """Returns a number without a fraction as an int, and any other value as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def distinct_labels(values: Iterable[Any], *, words: Callable[[Any], str] = in_words) -> dict[str, str]:
    """Returns a map of each value's identity → its text, unique among them.

    Values that look the same (none and "none", yes and "yes") are distinguished by quotes around texts. Values
    that still look the same, such as truncated long texts, are numbered.
    """
    by_identity = {identity(value): value for value in values}
    read = {key: words(value) for key, value in by_identity.items()}
    alike = Counter(read.values())
    seen: Counter[str] = Counter()
    found = {}
    for key in sorted(read):
        is_quoted = alike[read[key]] > 1 and isinstance(by_identity[key], str)
        label = f'"{read[key]}"' if is_quoted else read[key]
        seen[label] += 1
        found[key] = label if seen[label] == 1 else f"{label} ({seen[label]})"
    return found
