"""What a column is: read, shown, exported and sorted by one declaration."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils.safestring import SafeString

from ..pagination import Column as Order

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """One column of a table, under `key` in addresses, CSV and JSON.

    `value` is what CSV and JSON say, None where it is not known; `show` what a page shows, escaped unless it is
    safe. `needs` are the fields that they read, `annotations` those of them that are computed. `order` is None
    where a table cannot be sorted by it.
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
    """The columns that there are, those that show unless asked otherwise, and the order then.

    `has_filters` tells that its `q` is in the filter language; else it is words, which the table's view reads.
    `own` makes a column of a key that is not listed, `metric.char_accuracy`; None where it is none.
    """

    name: str
    columns: Mapping[str, Column]
    shown: tuple[str, ...]
    sort: str
    has_filters: bool = True
    own: Callable[[str], Column | None] = lambda key: None

    def column(self, key: str) -> Column | None:
        """The column of that key."""
        return self.columns.get(key) or self.own(key)


def orders(columns: Sequence[Column]) -> dict[str, Order]:
    """What rows with these columns can be sorted by."""
    return {column.key: column.order for column in columns if column.order is not None}
