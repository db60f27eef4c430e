"""Outlines: the root's turns of many rollouts in a few numbers each, so that their shapes can be compared."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count, F

from ...models import Execution, Rollout, Trajectory, Turn


@dataclass
class OutlineTurn:
    """One turn of a root. `prompt_tokens` is None if unknown; `sub_calls` are those that its cells made."""

    prompt_tokens: int | None = None
    cells: int = 0
    errors: int = 0
    cut: int = 0
    sub_calls: int = 0


@dataclass(frozen=True)
class Outline:
    """A rollout's last attempt. The turns of its moments count from 1; None if there was no such moment."""

    turns: Sequence[OutlineTurn]
    first_error: int | None
    first_answer: int | None
    ready: int | None


@dataclass
class _Found:
    turns: dict[int, OutlineTurn] = field(default_factory=lambda: defaultdict(OutlineTurn))
    first_error: int | None = None
    first_answer: int | None = None
    ready: int | None = None

    def outline(self) -> Outline:
        last = max(self.turns, default=-1)
        turns = [self.turns.get(index, OutlineTurn()) for index in range(last + 1)]
        return Outline(turns, self.first_error, self.first_answer, self.ready)


def read(rollouts: Iterable[Rollout]) -> Mapping[int, Outline]:
    """Returns the outline of each rollout by its id. Four queries, whatever their number."""
    rows = list(rollouts)
    roots = dict(
        Trajectory.objects.filter(rollout__in=rows, kind=Trajectory.Kind.ROOT, attempt=F("rollout__attempt"))
        .values_list("pk", "rollout")
        .order_by()
    )
    found = {row.pk: _Found() for row in rows}
    for trajectory, index, tokens in Turn.objects.filter(trajectory__in=roots).values_list(
        "trajectory", "index", "prompt_tokens"
    ):
        found[roots[trajectory]].turns[index].prompt_tokens = tokens
    cells = Execution.objects.filter(turn__trajectory__in=roots, kind=Execution.Kind.CELL)
    columns = ("turn__trajectory", "turn__index", "error_type", "truncated", "answer__chars", "ready")
    for trajectory, index, *cell in cells.order_by("turn__index", "position").values_list(*columns):
        _add_cell(found[roots[trajectory]], index, *cell)
    calls = (
        Trajectory.objects.filter(parent__turn__trajectory__in=roots)
        .values_list("parent__turn__trajectory", "parent__turn__index")
        .annotate(calls=Count("pk"))
        .order_by()
    )
    for trajectory, index, number in calls:
        found[roots[trajectory]].turns[index].sub_calls = number
    return {pk: each.outline() for pk, each in found.items()}


def _add_cell(found: _Found, index: int, error: str, cut: bool, answer: int | None, ready: Any) -> None:
    turn, number = found.turns[index], index + 1
    turn.cells += 1
    turn.errors += bool(error)
    turn.cut += cut
    if error and found.first_error is None:
        found.first_error = number
    if answer and found.first_answer is None:
        found.first_answer = number
    if ready and found.ready is None:
        found.ready = number
