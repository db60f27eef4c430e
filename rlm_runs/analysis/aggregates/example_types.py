"""Results by type of example: each arm against its baseline on the examples with each value of a metadata key.

A mean over mixed tasks hides that an arm is ahead on one task and behind on another. Types are compared by paired
tests, corrected by Holm over all comparisons of the key, with the number of examples that each test would need.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .. import statistics
from ..statistics import Paired
from ..statistics.paired import MCNEMAR
from .arms import ArmSummary, summary
from .baselines import baselines, chosen_baseline
from .dimensions import METADATA, Value, dimensions, grouped
from .measures import MEASURES
from .points import Cut, cut, lifts, plain_means, table
from .snapshot import Snapshot
from .unscored import Unscored

_BINS = 4
_ALPHA = 0.05


@dataclass(frozen=True)
class TypeRow:
    """An arm against its baseline on one type of example.

    `p` is corrected. `needed` is the number of examples that would show the observed difference with 80 % power at
    p < 0.05 after the correction, `needed_for_effect` the number for the chosen effect. They are None without a
    difference, or with too little data to estimate its spread.
    """

    environment: str
    value: Value
    arm: ArmSummary
    baseline: ArmSummary
    mean: float | None
    baseline_mean: float | None
    paired: Paired | None
    p: float | None
    needed: int | None
    needed_for_effect: int | None


@dataclass(frozen=True)
class Dependence:
    """The test of whether an arm's difference from its baseline depends on the type. `p` is corrected over the
    arms.
    """

    arm: ArmSummary
    baseline: ArmSummary
    low: TypeRow
    high: TypeRow
    p: float


@dataclass(frozen=True)
class ByType:
    """All comparisons by one metadata key. `effect` is the chosen effect, `comparisons` is the number of
    comparisons.
    """

    key: str
    keys: tuple[str, ...]
    effect: float
    unscored: Unscored
    rows: tuple[TypeRow, ...]
    dependences: tuple[Dependence, ...]
    comparisons: int


def type_keys(snapshot: Snapshot) -> tuple[str, ...]:
    """Returns the metadata keys with several values: text keys first, then numeric ones."""
    keys = sorted(snapshot.metadata_keys(), key=lambda key: key.numeric)
    return tuple(key.name for key in keys)


def by_type(snapshot: Snapshot, key: str, *, unscored: Unscored, effect: float) -> ByType:
    """Returns the comparisons by a metadata key of the examples.

    They are computed once per version of the experiment; the effect only enters at the end.
    """
    found = snapshot.remembered(("by type", key, unscored), lambda: _by_type(snapshot, key, unscored))
    level = _ALPHA / max(found.comparisons, 1)
    rows = tuple(replace(row, needed_for_effect=_needed(row.paired, effect, level)) for row in found.rows)
    return replace(found, effect=effect, rows=rows)


def _by_type(snapshot: Snapshot, key: str, unscored: Unscored) -> ByType:
    frame = snapshot.frame()
    dimension = dimensions(snapshot)[METADATA + key]
    kinds = grouped(snapshot, dimension, frame=frame, bins=_BINS)
    arms = summary(snapshot, unscored=unscored).arms
    place = {arm.pk: at for at, arm in enumerate(arms)}
    of_arm = np.array([place[arm] for arm in frame["arm"].tolist()], dtype=np.int64)
    # A value that the examples of an environment lack altogether is not one of its types.
    lacking = [at for at, value in enumerate(kinds.values) if value.term and value.term.endswith(":none")]
    pieces = cut(frame, [of_arm, np.where(np.isin(kinds.codes, lacking), -1, kinds.codes)], unscored=unscored)
    bases, _ = baselines(arms, chosen=chosen_baseline(snapshot.experiment))
    rows = _rows(pieces, arms, bases, kinds.values)
    return ByType(
        key=key,
        keys=type_keys(snapshot),
        effect=0.0,
        unscored=unscored,
        rows=rows,
        dependences=_dependences(pieces, arms, bases, rows),
        comparisons=sum(row.paired is not None for row in rows),
    )


def _rows(
    pieces: Cut, arms: Sequence[ArmSummary], bases: Sequence[int | None], values: Sequence[Value]
) -> tuple[TypeRow, ...]:
    """Returns the rows by environment, type and arm."""
    at = {cell.place: number for number, cell in enumerate(pieces.cells)}
    of_base = [
        None if (base := bases[cell.place[0]]) is None else at.get((base, cell.place[1])) for cell in pieces.cells
    ]
    reward = MEASURES["reward"]
    pairs = lifts(pieces, reward, baselines=of_base)
    means = [None if found is None else found[0] for found in plain_means(pieces, reward)]
    adjusted = statistics.holm([np.nan if paired is None else paired.p for paired in pairs])
    level = _ALPHA / max(1, sum(paired is not None for paired in pairs))
    rows = []
    for number, cell in enumerate(pieces.cells):
        base = of_base[number]
        if base is None:
            continue
        arm, paired = arms[cell.place[0]], pairs[number]
        rows.append(
            TypeRow(
                environment=arm.group,
                value=values[cell.place[1]],
                arm=arm,
                baseline=arms[pieces.cells[base].place[0]],
                mean=means[number],
                baseline_mean=means[base],
                paired=paired,
                p=None if paired is None else float(adjusted[number]),
                needed=_needed(paired, None, level),
                needed_for_effect=None,
            )
        )
    order = {value.label: number for number, value in enumerate(values)}
    first: dict[str, int] = {}
    for number, arm in enumerate(arms):
        first.setdefault(arm.group, number)
    return tuple(sorted(rows, key=lambda row: (first[row.environment], order[row.value.label], row.arm.position)))


def _needed(paired: Paired | None, effect: float | None, level: float) -> int | None:
    """Returns the examples that show a difference with 80 % power: the observed one, or `effect` at the observed
    spread.
    """
    if paired is None:
        return None
    size = abs(paired.mean_difference) if effect is None else effect
    if paired.test == MCNEMAR:
        differing = max((paired.better + paired.worse) / paired.n, size)
        return statistics.examples_for_binary(
            better=(differing + size) / 2, worse=(differing - size) / 2, alpha=level
        )
    if paired.n < 2 or not paired.deviation:
        return None
    return statistics.examples_for_means(effect=size / paired.deviation, alpha=level)


def _dependences(
    pieces: Cut, arms: Sequence[ArmSummary], bases: Sequence[int | None], rows: Sequence[TypeRow]
) -> tuple[Dependence, ...]:
    rewards = table(pieces, "reward").example_means
    tested = []
    for at, base in enumerate(bases):
        own = [row for row in rows if row.arm.pk == arms[at].pk and row.paired is not None]
        if base is None or len(own) < 2:
            continue
        p = _p_of_dependence(pieces, rewards, at, base)
        if p is not None:
            tested.append((at, base, own, p))
    adjusted = statistics.holm([p for *_, p in tested])
    return tuple(
        Dependence(
            arm=arms[at],
            baseline=arms[base],
            low=min(own, key=_difference),
            high=max(own, key=_difference),
            p=float(p),
        )
        for (at, base, own, _), p in zip(tested, adjusted, strict=True)
    )


def _difference(row: TypeRow) -> float:
    return row.paired.mean_difference if row.paired else 0.0


def _p_of_dependence(pieces: Cut, rewards: NDArray[np.float64], at: int, base: int) -> float | None:
    """Returns the p-value of one arm, from its differences by example and the type of each."""
    cells = {cell.place: number for number, cell in enumerate(pieces.cells)}
    differences, kinds = [], []
    for (arm, kind), number in cells.items():
        other = cells.get((base, kind))
        if arm != at or other is None:
            continue
        found = rewards[number] - rewards[other]
        found = found[~np.isnan(found)]
        differences.append(found)
        kinds.append(np.full(len(found), kind))
    if not differences:
        return None
    return statistics.differ_between(np.concatenate(differences), np.concatenate(kinds))
