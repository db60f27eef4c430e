"""Columns of tables. One declaration says how a column is read, shown, exported and sorted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils.safestring import SafeString

from ..pagination import Column as Order

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """One column of a table, under `key` in URLs, CSV and JSON.

    `value` returns its value for CSV and JSON, None if unknown; `show` returns its display, escaped unless it is
    safe. `needs` are the fields that both read, `annotations` the computed ones among them. `order` is None if a
    table cannot be sorted by it.
    """

    key: str
    header: str
    value: Callable[[Row], Any]
    show: Callable[[Row], str | SafeString]
    needs: tuple[str, ...] = ()
    annotations: Mapping[str, Any] = field(default_factory=dict)
    unit: str = ""
    help: str = ""
    order: Order | None = None
    is_number: bool = False


@dataclass(frozen=True)
class Table:
    """The columns of a table, the ones shown by default, and the default order.

    With `has_filters`, its `q` is in the filter language; otherwise the table's view interprets it. `own` creates
    a column from an unlisted key such as `metric.char_accuracy`, or returns None.
    """

    name: str
    columns: Mapping[str, Column]
    shown: tuple[str, ...]
    sort: str
    has_filters: bool = True
    own: Callable[[str], Column | None] = lambda key: None

    def column(self, key: str) -> Column | None:
        """Returns the column with this key; None if there is none."""
        return self.columns.get(key) or self.own(key)


def orders(columns: Sequence[Column]) -> dict[str, Order]:
    """Returns the orders that these columns offer."""
    return {column.key: column.order for column in columns if column.order is not None}
