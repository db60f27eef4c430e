"""Dimensions: what the rollouts of an experiment can be grouped by, found in its arms and examples.

Every setting that differs between arms is a dimension, and so is every metadata key that differs between examples,
so that any ablation has its figures. Dimensions have the names of the filter language.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlm_runs.engine.scaffolds import registry
from rlm_runs.models import Arm

from .arm_differences import ABSENT, differing_settings, distinct_labels, identity, in_words
from .frame import Frame, Outcome
from .measures import Measure
from .snapshot import Snapshot

_FEW = 10
"""The maximum number of different numbers that form groups of their own; more are binned."""
SETTING = "set."
METADATA = "meta."
_MODEL_SIDE = ("model", "sub-model", "judge")


class Level(Enum):
    """The kind of object that a dimension is a property of."""

    ARM = "arm"
    EXAMPLE = "example"
    ROLLOUT = "rollout"


@dataclass(frozen=True)
class Dimension:
    """A dimension. `parts` are the settings that it covers, so that the others can be shown elsewhere. For a
    dimension of arms, `by_arm` maps each arm to its value, if it has one. Numeric dimensions can be binned.
    """

    name: str
    title: str
    level: Level
    numeric: bool = False
    parts: frozenset[str] = frozenset()
    by_arm: Mapping[int, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Value:
    """One value of a dimension as text. `term` is the filter for its rollouts: "" if the arms imply it, None if
    there is none. `low` and `high` are the limits of a bin; only the last bin includes its upper limit.
    """

    label: str
    term: str | None = ""
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Grouping:
    """The rollouts of a frame by one dimension. `codes` are places in the sorted `values`: [rollouts]."""

    dimension: Dimension
    codes: NDArray[np.int64]
    values: tuple[Value, ...]


@dataclass(frozen=True)
class ArmParts:
    """The (name, text) pairs that distinguish an arm: those of its environment and model, and those of its
    scaffold.
    """

    environment: tuple[tuple[str, str], ...]
    scaffold: tuple[tuple[str, str], ...]

    def label(self, *, without: frozenset[str] = frozenset(), of: str = "both") -> str:
        """Returns both sides or one (`of`) as text, except the parts in `without`."""
        sides = {"environment": self.environment, "scaffold": self.scaffold}
        chosen = [*self.environment, *self.scaffold] if of == "both" else sides[of]
        words = [
            value if name in ("environment", "scaffold") else f"{name} {value}"
            for name, value in chosen
            if name not in without
        ]
        return " · ".join(words)


def arm_parts(arms: Sequence[Arm]) -> dict[int, ArmParts]:
    """Returns a map of arm → what distinguishes it from the others."""
    differing = differing_settings(arms)
    found = {}
    for arm in arms:
        of_scaffold = tuple(pair for pair in differing[arm.pk] if pair[0] in arm.scaffold_settings)
        of_environment = tuple(pair for pair in differing[arm.pk] if pair not in of_scaffold)
        name = registry.title(arm.scaffold)
        found[arm.pk] = ArmParts(
            environment=(("environment", arm.environment), *of_environment),
            scaffold=(("scaffold", name), *of_scaffold),
        )
    return found


def dimensions(snapshot: Snapshot) -> dict[str, Dimension]:
    """Returns all dimensions of an experiment by name: the ones that vary, and the basic ones in any case."""
    return snapshot.remembered("dimensions", lambda: {each.name: each for each in _dimensions(snapshot)})


def _dimensions(snapshot: Snapshot) -> list[Dimension]:
    arms = snapshot.arms
    parts = arm_parts(arms)
    names = sorted({name for each in parts.values() for name, _ in each.environment + each.scaffold})
    settings = [name for name in names if name not in (*_MODEL_SIDE, "environment", "scaffold")]
    found = [
        _sides("group", "environment and its settings", arms, parts, of="environment"),
        _of_arm("env", "environment", arms, lambda arm: arm.environment, part="environment"),
        _sides("variant", "scaffold and its settings", arms, parts, of="scaffold"),
        _of_arm(
            "scaffold", "scaffold", arms, lambda arm: dict(parts[arm.pk].scaffold)["scaffold"], part="scaffold"
        ),
        _of_arm("model", "model", arms, lambda arm: arm.model, part="model"),
    ]
    others = [
        _of_arm("submodel", "sub-model", arms, lambda arm: arm.sub_model, part="sub-model"),
        _of_arm("judge", "judge", arms, lambda arm: arm.judge_model or "none", part="judge"),
    ]
    found += [each for each in others if len(set(each.by_arm.values())) > 1]
    found += [_setting(name, arms) for name in settings]
    found += [
        Dimension(METADATA + key.name, key.name.replace("_", " "), Level.EXAMPLE, numeric=key.numeric)
        for key in snapshot.metadata_keys()
    ]
    if snapshot.frame()["repetition"].any():
        found.append(Dimension("rep", "repetition", Level.ROLLOUT))
    found.append(Dimension("outcome", "outcome", Level.ROLLOUT))
    if len(snapshot.stop_reasons()) > 1:
        found.append(Dimension("stop", "stop reason", Level.ROLLOUT))
    return found


def residual(snapshot: Snapshot, *, told: frozenset[str]) -> Dimension:
    """Returns a dimension of everything that distinguishes arms besides the covered parts."""
    parts = arm_parts(snapshot.arms)
    by_arm = {arm: each.label(without=told) for arm, each in parts.items()}
    every = frozenset(name for each in parts.values() for name, _ in each.environment + each.scaffold)
    return Dimension("rest", "all other settings", Level.ARM, parts=every - told, by_arm=by_arm)


def side(snapshot: Snapshot, name: str, *, told: frozenset[str]) -> Dimension:
    """Returns the dimension `group` or `variant` without the covered parts."""
    of = "environment" if name == "group" else "scaffold"
    whole = dimensions(snapshot)[name]
    parts = arm_parts(snapshot.arms)
    by_arm = {arm: each.label(without=told, of=of) for arm, each in parts.items()}
    return Dimension(name, whole.title, Level.ARM, parts=whole.parts - told, by_arm=by_arm)


def _sides(name: str, title: str, arms: Sequence[Arm], parts: Mapping[int, ArmParts], *, of: str) -> Dimension:
    told = frozenset(key for each in parts.values() for key, _ in getattr(each, of))
    by_arm = {arm.pk: parts[arm.pk].label(of=of) for arm in arms}
    return Dimension(name, title, Level.ARM, parts=told, by_arm=by_arm)


def _of_arm(name: str, title: str, arms: Sequence[Arm], value: Callable[[Arm], Any], *, part: str) -> Dimension:
    return Dimension(name, title, Level.ARM, parts=frozenset({part}), by_arm={arm.pk: value(arm) for arm in arms})


def _setting(name: str, arms: Sequence[Arm]) -> Dimension:
    """Returns the dimension of a setting by name, whichever side has it. An arm without the setting has no
    value.
    """
    by_arm = {
        arm.pk: settings[name]
        for arm in arms
        for settings in (arm.sampling, arm.scaffold_settings, arm.environment_settings)
        if name in settings
    }
    numbers = [value for value in by_arm.values() if value is not None]
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in numbers)
    return Dimension(SETTING + name, name.replace("_", " "), Level.ARM, numeric, frozenset({name}), by_arm=by_arm)


def stop_reason(snapshot: Snapshot) -> Measure:
    """Returns the stop reason as a number: its place among those of the experiment, from 1."""
    known = ", ".join(
        "'{}'".format(reason.replace("'", "''").replace("%", "%%")) for reason in snapshot.stop_reasons()
    )
    return Measure(
        "stop reason", "stop reason", "", f"array_position(ARRAY[{known}]::text[], r.stop_reason::text)"
    )


def grouped(snapshot: Snapshot, dimension: Dimension, *, frame: Frame, bins: int = 5) -> Grouping:
    """Groups the rollouts of a frame by a dimension. The frame is one of this snapshot, possibly filtered.

    Numbers sort as numbers, with none first. Numbers with many values are put into `bins` of about equally many
    examples. Values without a rollout in the frame are omitted.
    """
    if dimension.level is Level.EXAMPLE:
        codes, values = _by_example(snapshot, dimension, frame=frame, bins=bins)
    elif dimension.level is Level.ROLLOUT:
        codes, values = _by_rollout(snapshot, dimension, frame=frame)
    elif dimension.name.startswith(SETTING):
        value_of = {arm.pk: dimension.by_arm.get(arm.pk, ABSENT) for arm in snapshot.arms}
        codes, raw = _by_value(frame["arm"], value_of)
        words = distinct_labels(value_of.values(), words=value_in_words)
        values = [Value(words[identity(each.value)]) for each in raw]
    else:
        codes, values = _in_arm_order(snapshot, dimension, frame=frame)
    return _compact(dimension, codes, values)


def _in_arm_order(
    snapshot: Snapshot, dimension: Dimension, *, frame: Frame
) -> tuple[NDArray[np.int64], list[Value]]:
    """Returns codes and values in the order in which the experiment names them, which is its author's.

    Scaffolds of imported files use the registry's order, because the files come in the order of their folders.
    """
    arms = list(snapshot.arms)
    if snapshot.experiment.sources and dimension.name in ("variant", "scaffold"):
        arms.sort(key=lambda arm: registry.place(arm.scaffold))
    labels = [str(dimension.by_arm[arm.pk]) for arm in arms]
    order = list(dict.fromkeys(labels))
    code_of = {arm.pk: order.index(label) for arm, label in zip(arms, labels, strict=True)}
    return _codes_of(frame["arm"], code_of), [Value(label) for label in order]


@dataclass(frozen=True)
class _Raw:
    """A value as stored."""

    value: Any


def _by_value(ids: NDArray[np.int64], value_of: Mapping[int, Any]) -> tuple[NDArray[np.int64], list[_Raw]]:
    """Returns ids as places among the different values, sorted by type and size, and these values."""
    of_key = {identity(value): value for value in value_of.values()}
    order = sorted(of_key, key=_sort_key)
    place = {key: at for at, key in enumerate(order)}
    codes = _codes_of(ids, {each: place[identity(value)] for each, value in value_of.items()})
    return codes, [_Raw(of_key[key]) for key in order]


def _sort_key(key: str) -> tuple[int, float, str]:
    """Returns a sort key: absent, none, no, yes, numbers by size, texts."""
    if not key:
        return 0, 0.0, ""
    value = json.loads(key)
    if value is None:
        return 1, 0.0, ""
    if isinstance(value, bool | int | float):
        return 2 if isinstance(value, bool) else 3, float(value), ""
    return 4, 0.0, _natural_key(key)


def _natural_key(text: str) -> str:
    """Returns a sort key under which 'part 10' comes after 'part 9'."""
    return re.sub(r"\d+", lambda found: found[0].rjust(12, "0")[:24], text)


def value_in_words(value: Any) -> str:
    """Returns a value as a label of at most 80 characters."""
    return in_words(value)[:80]


def _codes_of(ids: NDArray[np.int64], code_of: Mapping[int, int]) -> NDArray[np.int64]:
    """Maps ids to codes; −1 for an id without one."""
    if not code_of or not len(ids):
        return np.full(len(ids), -1, dtype=np.int64)
    known = np.array(sorted(code_of), dtype=np.int64)
    codes = np.array([code_of[each] for each in known.tolist()], dtype=np.int64)
    at = np.minimum(np.searchsorted(known, ids), len(known) - 1)
    return np.where(known[at] == ids, codes[at], -1)


def _by_example(
    snapshot: Snapshot, dimension: Dimension, *, frame: Frame, bins: int
) -> tuple[NDArray[np.int64], list[Value]]:
    key = dimension.name.removeprefix(METADATA)
    values = snapshot.metadata(key)
    if dimension.numeric and len(set(values.values())) > _FEW:
        return _binned(dimension, numbers(snapshot, dimension, frame=frame), bins=bins)
    present = np.unique(frame["example"]).tolist()
    value_of = {each: values.get(each, ABSENT) for each in present}
    codes, found = _by_value(frame["example"], value_of)
    known = {identity(value): value for value in (*values.values(), *value_of.values())}
    words = distinct_labels((*known.values(), ABSENT), words=value_in_words)
    alike = Counter(sign for value in known.values() for sign in _filter_forms(value))
    return codes, [
        Value(
            words[identity(each.value)],
            term=_term(dimension.name, each.value)
            if all(alike[sign] < 2 for sign in _filter_forms(each.value))
            else None,
        )
        for each in found
    ]


def _filter_forms(value: Any) -> set[str | float | None]:
    """Returns the forms under which the filter language knows a value. Values that share a form share a filter.

    The language does not distinguish null from absent, a text that reads as a number from the number, and true
    from 1.
    """
    if value is None or value is ABSENT:
        return {None}
    if isinstance(value, bool):
        return {json.dumps(value), float(value)}
    if isinstance(value, int | float):
        return {_plain_number(float(value)), repr(float(value)), float(value)}
    return {value if isinstance(value, str) else json.dumps(value)}


def named(name: str) -> str:
    """Returns a key of the filter language. The part after its dot is quoted unless it is a plain word."""
    family, dot, own = name.partition(".")
    return name if re.fullmatch(r"[\w.-]*", own, re.ASCII) else f"{family}{dot}{_quoted(own)}"


def _term(name: str, value: Any) -> str:
    """Returns the filter for exactly this value."""
    if value is None or value is ABSENT:
        return f"{named(name)}:none"
    if isinstance(value, bool):
        return f"{named(name)}:{'true' if value else 'false'}"
    if isinstance(value, int | float):
        return f"{named(name)}:{_plain_number(float(value))}"
    is_plain = re.fullmatch(r"[A-Za-z][\w+-]*", str(value), re.ASCII) and str(value) != "none"
    return f"{named(name)}:{value if is_plain else _quoted(str(value))}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def numbers(snapshot: Snapshot, dimension: Dimension, *, frame: Frame) -> NDArray[np.float64]:
    """Returns a numeric dimension without grouping: [rollouts], NaN if an example or arm has no number."""
    if dimension.level is Level.EXAMPLE:
        values: Mapping[int, Any] = snapshot.metadata(dimension.name.removeprefix(METADATA))
        ids = frame["example"]
    else:
        values, ids = dimension.by_arm, frame["arm"]
    own, places = np.unique(ids, return_inverse=True)
    found = np.array([_number(values.get(each)) for each in own.tolist()], dtype=np.float64)
    return found[places] if len(own) else np.empty(0)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else float("nan")


def _binned(dimension: Dimension, x: NDArray[np.float64], *, bins: int) -> tuple[NDArray[np.int64], list[Value]]:
    """Returns bins of about equally many rollouts. A bin includes its lower limit; only the last includes its
    upper.
    """
    known = x[~np.isnan(x)]
    key = named(dimension.name)
    if not len(known):
        return np.zeros(len(x), dtype=np.int64), [Value(value_in_words(ABSENT), term=f"{key}:none")]
    edges = np.unique(np.quantile(known, np.linspace(0, 1, bins + 1), method="closest_observation"))
    last = max(len(edges) - 2, 0)
    codes = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, last) + 1
    values = [Value(value_in_words(ABSENT), term=f"{key}:none")]
    for at in range(last + 1):
        low, high = float(edges[at]), float(edges[min(at + 1, len(edges) - 1)])
        until = f"{key}:<{_plain_number(high)}" if at < last else f"{key}:<={_plain_number(high)}"
        label = f"{_axis_label(low)} to {_axis_label(high)}"
        values.append(Value(label, f"{key}:>={_plain_number(low)} {until}", low, high))
    return np.where(np.isnan(x), 0, codes), values


def _plain_number(number: float) -> str:
    return f"{number:.0f}" if number.is_integer() else repr(number)


def _axis_label(number: float) -> str:
    """Returns a number short enough for an axis: 850, 12.5k, 1.25M."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if abs(number) >= size * 10 or (size == 1e6 and abs(number) >= size):
            return f"{number / size:.3g}{unit}"
    return f"{number:.4g}"


def _by_rollout(
    snapshot: Snapshot, dimension: Dimension, *, frame: Frame
) -> tuple[NDArray[np.int64], list[Value]]:
    if dimension.name == "rep":
        most = int(frame["repetition"].max()) if len(frame) else -1
        return frame["repetition"], [Value(f"{at + 1}", f"rep:{at + 1}") for at in range(most + 1)]
    if dimension.name == "outcome":
        names = [outcome.name.lower() for outcome in Outcome]
        return frame["outcome"], [Value(name.replace("_", " "), f"outcome:{name}") for name in names]
    reasons = snapshot.stop_reasons()
    values = [Value("none yet", term=None), *(Value(reason, _term("stop", reason)) for reason in reasons)]
    return np.nan_to_num(frame["stop reason"]).astype(np.int64), values


def _compact(dimension: Dimension, codes: NDArray[np.int64], values: Sequence[Value]) -> Grouping:
    """Returns a grouping of the values that occur. A rollout without a value keeps −1."""
    used = np.unique(codes[codes >= 0])
    place = np.full(max(len(values), 1), -1, dtype=np.int64)
    place[used] = np.arange(len(used))
    compacted = np.where(codes >= 0, place[np.maximum(codes, 0)], -1)
    return Grouping(dimension, compacted, tuple(values[at] for at in used.tolist()))
