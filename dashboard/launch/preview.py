"""The preview of a launch: the cross product of a spec as a grid, its estimate and its problems.

The grid depends only on the entries of the spec, so it is shown while the spec still has problems. Rows are
environments by model, columns are scaffolds. If there are many more scaffolds than that, they are the rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from math import prod
from typing import Any

from rlm_runs.engine.environments.registry import REGISTRY
from rlm_runs.engine.scaffolds.registry import REGISTRY as SCAFFOLDS
from rlm_runs.experiments.estimate import ArmEstimate, Estimate, estimate
from rlm_runs.experiments.plan import resolve
from rlm_runs.experiments.problems import Problem, SpecError
from rlm_runs.models import WorkerProcess

_MOST_ARMS = 1_000
"""Arms up to which a spec is checked and estimated while one types."""
_MOST_ROWS, _MOST_COLUMNS = 60, 24
_FEW_COLUMNS = 6
_MOST_CHARS = 40
_LISTS = {"environments": "environment", "scaffolds": "scaffold", "models": "model"}


@dataclass(frozen=True)
class Head:
    """The heading of a row or column. `scaffold` is its key; `details` distinguish entries with the same name."""

    title: str
    scaffold: str = ""
    details: str = ""


@dataclass(frozen=True)
class Cell:
    """One arm, or the sum of several. `arm` is None where there is no estimate."""

    arms: int
    arm: ArmEstimate | None = None


@dataclass(frozen=True)
class Row:
    """One row of the grid."""

    head: Head
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Grid:
    """The cross product; `left_off` counts the arms that it does not show."""

    columns: tuple[Head, ...]
    rows: tuple[Row, ...]
    left_off: int


@dataclass(frozen=True)
class Preview:
    """The preview of a spec. If it cannot be launched, `found` is None and `problems` say why.

    `missing` names the lists that are still empty. `slots` counts the rollouts that live workers run at once.
    """

    arms: int
    rollouts: int | None
    grid: Grid
    missing: tuple[str, ...]
    problems: tuple[Problem, ...]
    found: Estimate | None
    slots: int

    @property
    def seconds(self) -> float | None:
        """Estimated seconds on the live workers; None if unknown."""
        return self.found.wall_seconds(slots=self.slots) if self.found else None

    @property
    def bases(self) -> Mapping[str, int]:
        """The number of arms by the basis of their estimate."""
        counted: dict[str, int] = {}
        for arm in self.found.arms if self.found else ():
            counted[arm.basis] = counted.get(arm.basis, 0) + 1
        return counted


def preview(spec: Mapping[str, Any], *, may_lack_name: bool = True) -> Preview:
    """Returns the preview of a spec, which may be invalid. With `may_lack_name`, a missing name is no problem."""
    entries = {kind: _entries(spec.get(kind)) for kind in _LISTS}
    missing = tuple(word for kind, word in _LISTS.items() if not entries[kind])
    arms = prod(map(len, entries.values()))
    named = {**spec, "name": spec.get("name") or "untitled"} if may_lack_name else spec
    found, problems = _checked(named, arms=arms)
    # The page itself names the lists that are still empty, so their problems are omitted here.
    empty = [kind for kind in _LISTS if not spec.get(kind)]
    problems = tuple(problem for problem in problems if problem.field not in empty)
    return Preview(
        arms=arms,
        rollouts=found.rollouts if found else _rollouts(spec, arms=arms),
        grid=_grid(entries, found.arms if found else ()),
        missing=missing,
        problems=problems,
        found=found,
        slots=_slots(),
    )


def _checked(spec: Mapping[str, Any], *, arms: int) -> tuple[Estimate | None, tuple[Problem, ...]]:
    if arms > _MOST_ARMS:
        return None, (Problem("", f"{arms:,} arms are too many to estimate; the most is {_MOST_ARMS:,}"),)
    try:
        plan = resolve(spec)
    except SpecError as error:
        return None, error.problems
    return estimate(plan), ()


def _rollouts(spec: Mapping[str, Any], *, arms: int) -> int | None:
    counts = (spec.get("examples"), spec.get("repetitions", 1))
    if not all(isinstance(count, int) and count > 0 for count in counts):
        return None
    return arms * prod(count for count in counts if isinstance(count, int))


def _slots() -> int:
    """Returns the number of rollouts that the live workers run at once."""
    found = (process.capacity.get("concurrency") for process in WorkerProcess.objects.alive())
    return sum(slots for slots in found if isinstance(slots, int))


def _entries(given: Any) -> list[Mapping[str, Any]]:
    """Returns the entries of a list as tables. Omits those without a name."""
    tables = ({"name": entry} if isinstance(entry, str) else entry for entry in _listed(given))
    return [table for table in tables if isinstance(table, Mapping) and isinstance(table.get("name"), str)]


def _listed(given: Any) -> Sequence[Any]:
    return given if isinstance(given, list | tuple) else ()


def _grid(entries: Mapping[str, list[Mapping[str, Any]]], arms: Sequence[ArmEstimate]) -> Grid:
    environments, scaffolds, models = (entries[kind] for kind in _LISTS)
    width = len(scaffolds) * len(models)
    sides = [
        (_side(environment, model, several=len(models) > 1), first * width + second)
        for (first, environment), (second, model) in product(
            enumerate(_heads(environments, _environment_title)), enumerate(_heads(models, str))
        )
    ]
    tops = [(head, index * len(models)) for index, head in enumerate(_scaffold_heads(scaffolds))]
    if len(tops) > max(_FEW_COLUMNS, len(sides)):
        sides, tops = tops, sides
    rows = tuple(
        Row(head, tuple(_cell(arms, at + beside) for _, beside in islice(tops, _MOST_COLUMNS)))
        for head, at in islice(sides, _MOST_ROWS)
    )
    shown = sum(len(row.cells) for row in rows)
    columns = tuple(head for head, _ in islice(tops, _MOST_COLUMNS))
    return Grid(columns, rows, len(sides) * len(tops) - shown)


def _cell(arms: Sequence[ArmEstimate], index: int) -> Cell:
    return Cell(1, arms[index] if index < len(arms) else None)


def _side(environment: Head, model: Head, *, several: bool) -> Head:
    """Returns the heading of an environment. With `several` models it includes the model."""
    if not several:
        return environment
    of_model = " ".join(filter(None, (model.title, model.details)))
    return Head(environment.title, details=" · ".join(filter(None, (environment.details, of_model))))


def _heads(entries: Sequence[Mapping[str, Any]], title: Any) -> Iterator[Head]:
    for entry, details in zip(entries, _details(entries), strict=True):
        yield Head(title(entry["name"]), details=details)


def _scaffold_heads(entries: Sequence[Mapping[str, Any]]) -> Iterator[Head]:
    for entry, details in zip(entries, _details(entries), strict=True):
        known = SCAFFOLDS.get(entry["name"])
        yield Head(known.title if known else entry["name"], entry["name"] if known else "", details)


def _environment_title(name: str) -> str:
    found = REGISTRY.get(name)
    return found.title if found else name


def _details(entries: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yields, per entry, the settings in which entries with its name differ, such as `cell_time_limit 120`."""
    for entry in entries:
        alike = [other for other in entries if other["name"] == entry["name"]]
        names = dict.fromkeys(key for other in alike for key in other if key != "name")
        yield " ".join(
            f"{key} {_short(entry[key]) if key in entry else 'default'}"
            for key in names
            if any(other.get(key, ...) != entry.get(key, ...) for other in alike)
        )


def _short(value: Any) -> str:
    words = {None: "none", True: "yes", False: "no"} if value is None or isinstance(value, bool) else {}
    text = words.get(value) or str(value)
    return text if len(text) <= _MOST_CHARS else f"{text[: _MOST_CHARS - 1]}…"
