"""The order of the Behaviour page: the differences between arms first, then what all arms share.

Arms are compared with those that share their environment; an environment with one arm has no differences, and then
all arms are compared.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from rlm_runs.analysis.statistics import Interval

from ..formatting import percent
from .tables import Column, Number, Row, Table

_CLEAR = 1.0
"""Difference of two means, in lengths of their intervals' half-widths together, from which it is shown."""
_WIDELY = 1e6
_ALONE = {"failure modes": "failure: {}", "time": "seconds, {}"}


@dataclass(frozen=True)
class Difference:
    """A column in which arms differ: from `lowest` to `highest`, by `size` half-widths of their intervals."""

    table: Table
    place: int
    size: float
    lowest: tuple[Row, Number]
    highest: tuple[Row, Number]

    @property
    def column(self) -> Column:
        """The column in its table."""
        return self.table.columns[self.place]

    @property
    def title(self) -> str:
        """The title of the column where it stands alone."""
        return _ALONE.get(self.table.name, "{}").format(self.column.title)


@dataclass(frozen=True)
class Constant:
    """A column with the same number in every arm."""

    title: str
    text: str


@dataclass(frozen=True)
class Folded:
    """A table without its constant columns, and the constant columns."""

    table: Table
    constants: tuple[Constant, ...]


def largest(tables: Sequence[Table], *, most: int) -> list[Difference]:
    """Returns the columns in which arms differ beyond their intervals, the largest difference first."""
    found = [each for table in tables for each in _differences(table) if each.size > _CLEAR]
    return sorted(found, key=lambda each: -each.size)[:most]


def whole_time(table: Table) -> Table:
    """Returns the table of times with its last column only, the whole time."""
    return _of_columns(table, [len(table.columns) - 1])


def folded(table: Table) -> Folded:
    """Returns the table with the columns that differ most first, without those that are the same in all arms."""
    sizes = {each.place: each.size for each in _differences(table)}
    constant = [place for place in range(len(table.columns)) if len(table.rows) > 1 and _is_constant(table, place)]
    shown = [place for place in range(len(table.columns)) if place not in constant]
    shown.sort(key=lambda place: -sizes.get(place, 0.0))
    return Folded(
        table=_of_columns(table, shown),
        constants=tuple(Constant(table.columns[place].title, _text(table, place)) for place in constant),
    )


def _of_columns(table: Table, places: Sequence[int]) -> Table:
    return replace(
        table,
        columns=tuple(table.columns[place] for place in places),
        rows=tuple(replace(row, numbers=tuple(row.numbers[place] for place in places)) for row in table.rows),
    )


def _is_constant(table: Table, place: int) -> bool:
    """Returns whether all arms have the same number, or none has one."""
    return len({number and number.interval.mean for number in _numbers(table, place)}) <= 1


def _numbers(table: Table, place: int) -> list[Number | None]:
    return [row.numbers[place] for row in table.rows]


def _text(table: Table, place: int) -> str:
    number = next((number for number in _numbers(table, place) if number is not None), None)
    if number is None:
        return "not known"
    return number.text if number.count is None else percent(number.interval.mean)


def _differences(table: Table) -> Iterator[Difference]:
    for place in range(len(table.columns)):
        by_group: defaultdict[str, list[tuple[Row, Number]]] = defaultdict(list)
        for row in table.rows:
            if (number := row.numbers[place]) is not None:
                by_group[row.arm.group].append((row, number))
        whole = [pair for pairs in by_group.values() for pair in pairs]
        rivals = [pairs for pairs in by_group.values() if len(pairs) > 1] or [whole]
        made = [_difference(table, place, pair) for pairs in rivals for pair in combinations(pairs, 2)]
        if made:
            yield max(made, key=lambda each: each.size)


def _difference(table: Table, place: int, pair: tuple[tuple[Row, Number], tuple[Row, Number]]) -> Difference:
    lowest, highest = sorted(pair, key=lambda each: each[1].interval.mean)
    low, high = lowest[1].interval, highest[1].interval
    gap, width = high.mean - low.mean, math.hypot(_half(low, up=True), _half(high, up=False))
    size = 0.0 if not gap else min(_WIDELY, gap / width) if width else _WIDELY
    return Difference(table, place, size, lowest, highest)


def _half(interval: Interval, *, up: bool) -> float:
    """Returns the length of an interval on the side of the other mean; 0 without an interval."""
    end = interval.high if up else interval.low
    return 0.0 if end is None else abs(end - interval.mean)
