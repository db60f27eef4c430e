"""Keyset pages: the next one begins after the last row's value and id, so rows that come and go move nothing.

Values that are NULL come last in both directions. A cursor is `value~id`, with an empty value for NULL.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Generic, TypeVar

from django.db.models import F, Model, Q, QuerySet

ModelT = TypeVar("ModelT", bound=Model)


class BadCursor(ValueError):
    """A cursor that this page never made."""


def integer(text: str) -> int:
    """An int that any column can hold, or ValueError."""
    if len(text) > 18:
        raise ValueError(text)
    return int(text)


@dataclass(frozen=True)
class Column:
    """What a list may be sorted by: a field or annotation of the rows, and how to read it from a cursor."""

    field: str
    parse: Callable[[str], Any] = integer
    nullable: bool = False


@dataclass(frozen=True)
class Page(Generic[ModelT]):
    """Some rows, and the cursors of the pages before and after, "" where there is none."""

    rows: tuple[ModelT, ...]
    before: str
    after: str


def decimal(text: str) -> Decimal:
    """A Decimal, or ValueError like every other parser."""
    try:
        number = Decimal(text)
    except InvalidOperation as error:
        raise ValueError(text) from error
    if not number.is_finite():
        raise ValueError(text)
    return number


def keyset_page(
    rows: QuerySet[ModelT],
    *,
    columns: Mapping[str, Column],
    sort: str,
    after: str = "",
    before: str = "",
    size: int = 50,
) -> Page[ModelT]:
    """One page of `rows` in the order of `sort`, a column's name, with `-` for falling. Raises BadCursor.

    One query, which costs the same on every page: nothing counts what was skipped.
    """
    falling = sort.startswith("-")
    column = columns[sort.removeprefix("-")]
    backwards = bool(before)
    cursor = before or after
    if cursor:
        value, pk = _read(cursor, column)
        rows = rows.filter(_beyond(column.field, value, pk, falling=falling, backwards=backwards))
    found = list(rows.order_by(*_order(column, falling=falling, backwards=backwards))[: size + 1])
    more = len(found) > size
    shown = found[:size][::-1] if backwards else found[:size]
    if not shown:
        return Page(rows=(), before="", after="")
    return Page(
        rows=tuple(shown),
        before=_cursor(shown[0], column) if (more if backwards else bool(after)) else "",
        after=_cursor(shown[-1], column) if (more or backwards) else "",
    )


def _order(column: Column, *, falling: bool, backwards: bool) -> list[Any]:
    """NULLs last; ids rise with a rising column and fall with a falling one.

    Where NULLs go is said only of columns that have some: an index in its plain order serves the others.
    """
    way = "-" if falling != backwards else ""
    if column.field == "pk":
        return [f"{way}pk"]
    if not column.nullable:
        return [f"{way}{column.field}", f"{way}pk"]
    value = F(column.field).desc if way else F(column.field).asc
    return [value(nulls_first=True) if backwards else value(nulls_last=True), f"{way}pk"]


def _beyond(field: str, value: Any, pk: int, *, falling: bool, backwards: bool) -> Q:
    """Rows after (or before) the cursor's."""
    way = "lt" if falling != backwards else "gt"
    same_value_further = Q(**{f"{field}__isnull": True} if value is None else {field: value}) & Q(
        **{f"pk__{way}": pk}
    )
    if value is None:
        return same_value_further | Q(**{f"{field}__isnull": False}) if backwards else same_value_further
    further = Q(**{f"{field}__{way}": value})
    return (
        further | same_value_further
        if backwards
        else further | same_value_further | Q(**{f"{field}__isnull": True})
    )


def _cursor(row: Any, column: Column) -> str:
    value = getattr(row, column.field)
    if value is None:
        return f"~{row.pk}"
    return f"{value!r}~{row.pk}" if isinstance(value, float) else f"{value}~{row.pk}"


def _read(cursor: str, column: Column) -> tuple[Any, int]:
    text, _, pk = cursor.rpartition("~")
    try:
        return (column.parse(text) if text else None), integer(pk)
    except ValueError as error:
        raise BadCursor(cursor) from error
