"""Keyset pagination: a page begins after the last row's value and id, so added and removed rows shift nothing.

NULL values come last in both directions: rows with a value are read in the order of the plain index (column, id),
then rows without one in the order of ids. A page is therefore one range of an index, or the end of one and the
beginning of the next. A cursor is `value~id`, with an empty value for NULL; a text value follows a `=`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Generic, TypeVar

from django.db.models import Q, QuerySet

RowT = TypeVar("RowT")
Steps = Sequence[tuple[Any, Q]]
"""The values of a column that has few of them, ascending, each with the condition for its rows."""
_NO_CONDITION = Q()


class BadCursor(ValueError):
    """A cursor that no page created."""


def integer(text: str) -> int:
    """Returns an int that any column can hold. Raises ValueError."""
    if len(text) > 18:
        raise ValueError(text)
    return int(text)


def decimal(text: str) -> Decimal:
    """Returns a Decimal. Raises ValueError like the other parsers."""
    try:
        number = Decimal(text)
    except InvalidOperation as error:
        raise ValueError(text) from error
    if not number.is_finite():
        raise ValueError(text)
    return number


def words(text: str) -> str:
    """Returns the text after its `=`. Raises ValueError."""
    if not text.startswith("=") or "\x00" in text:
        raise ValueError(text)
    return text[1:]


def moment(text: str) -> datetime:
    """Returns an aware datetime. Raises ValueError."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(text)
    return found


@dataclass(frozen=True)
class Column:
    """A column that a list can be sorted by: a field or annotation of the rows, and the parser of its cursor."""

    field: str
    parse: Callable[[str], Any] = integer
    nullable: bool = False


@dataclass(frozen=True)
class Page(Generic[RowT]):
    """Some rows, and the cursors of the previous and next page, "" without one."""

    rows: tuple[RowT, ...]
    before: str
    after: str


@dataclass(frozen=True)
class _Range:
    """Consecutive rows of an index: their condition and their order."""

    condition: Q
    order: tuple[str, ...]


def keyset_page(
    rows: QuerySet[Any, RowT],
    *,
    columns: Mapping[str, Column],
    sort: str,
    after: str = "",
    before: str = "",
    size: int = 50,
    steps: Steps = (),
) -> Page[RowT]:
    """Returns one page of `rows`, models or dicts, in the order of `sort`: a column's name, with `-` for
    descending.

    It takes one to three queries, which cost the same on every page, because nothing counts the skipped rows. With
    `steps` it takes one query per value of the column until the page is full; each reads rows in the order of ids,
    and none sorts by a column of another table. Raises BadCursor.
    """
    column = columns[sort.removeprefix("-")]
    backwards = bool(before)
    cursor = before or after
    place = _read(cursor, column) if cursor else None
    found: list[RowT] = []
    falling = sort.startswith("-")
    parts = (
        _stepwise(steps, place, falling=falling != backwards)
        if steps
        else _ranges(column, place, falling=falling, backwards=backwards)
    )
    for part in parts:
        found += rows.filter(part.condition).order_by(*part.order)[: size + 1 - len(found)]
        if len(found) > size:
            break
    more = len(found) > size
    shown = found[:size][::-1] if backwards else found[:size]
    if not shown:
        return Page(rows=(), before="", after="")
    return Page(
        rows=tuple(shown),
        before=_cursor(shown[0], column) if (more if backwards else bool(after)) else "",
        after=_cursor(shown[-1], column) if (more or backwards) else "",
    )


def in_order(
    rows: QuerySet[Any, RowT], *, columns: Mapping[str, Column], sort: str
) -> Iterator[QuerySet[Any, RowT]]:
    """Yields all rows in the order of their pages, as one query after the other."""
    column = columns[sort.removeprefix("-")]
    for part in _ranges(column, None, falling=sort.startswith("-"), backwards=False):
        yield rows.filter(part.condition).order_by(*part.order)


def _ranges(column: Column, place: tuple[Any, int] | None, *, falling: bool, backwards: bool) -> Iterator[_Range]:
    """Yields the ranges after a place (or all of them), nearest first; in reverse with `backwards`.

    Ids ascend with an ascending column and descend with a descending one, also among NULLs.
    """
    way, beyond = ("-", "lt") if falling != backwards else ("", "gt")
    by_id = (f"{way}pk",)
    value, pk = place if place else (None, 0)
    further = Q(**{f"pk__{beyond}": pk}) if place else _NO_CONDITION
    if column.field == "pk":
        yield _Range(further, by_id)
        return
    valued = Q(**{f"{column.field}__isnull": False}) if column.nullable else _NO_CONDITION
    in_value_order = (f"{way}{column.field}", f"{way}pk")
    among_nulls = _Range(Q(**{f"{column.field}__isnull": True}) & further, by_id)
    if place and value is None:
        yield among_nulls
        if backwards:
            yield _Range(valued, in_value_order)
        return
    if place:
        yield _Range(Q(**{column.field: value}) & further, by_id)
        yield _Range(Q(**{f"{column.field}__{beyond}": value}), in_value_order)
    else:
        yield _Range(valued, in_value_order)
    if column.nullable and not backwards:
        yield _Range(Q(**{f"{column.field}__isnull": True}), by_id)


def _stepwise(steps: Steps, place: tuple[Any, int] | None, *, falling: bool) -> Iterator[_Range]:
    """Yields the ranges of a column with few, known values. Ids ascend with an ascending column."""
    way, beyond = ("-", "lt") if falling else ("", "gt")
    ahead = list(reversed(steps)) if falling else list(steps)
    further = _NO_CONDITION
    if place:
        value, pk = place
        values = [each for each, _ in ahead]
        if value not in values:
            raise BadCursor(value)
        ahead = ahead[values.index(value) :]
        further = Q(**{f"pk__{beyond}": pk})
    for condition in (condition for _, condition in ahead):
        yield _Range(condition & further, (f"{way}pk",))
        further = _NO_CONDITION


def _cursor(row: Any, column: Column) -> str:
    pk, value = _of(row, "pk"), _of(row, column.field)
    match value:
        case None:
            return f"~{pk}"
        case str():
            return f"={value}~{pk}"
        case float():
            return f"{value!r}~{pk}"
        case datetime():
            return f"{value.isoformat()}~{pk}"
    return f"{value}~{pk}"


def _of(row: Any, field: str) -> Any:
    return row[field] if isinstance(row, Mapping) else getattr(row, field)


def _read(cursor: str, column: Column) -> tuple[Any, int]:
    text, _, pk = cursor.rpartition("~")
    try:
        value = column.parse(text) if text else None
        if value is None and not column.nullable:
            raise ValueError(cursor)
        return value, integer(pk)
    except ValueError as error:
        raise BadCursor(cursor) from error
