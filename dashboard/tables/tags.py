"""Template tags of tables: their heads, their rows, and what a search found in a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import repeat
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from ..templatetags.dashboard import query
from .columns import Column

register = template.Library()

_ALL_HEADS = 60_000
"""Characters that the addresses in the heads of one table may have together."""


@register.simple_tag(takes_context=True)
def table_header(context: template.Context, column: Column, columns: Mapping[str, Any]) -> SafeString:
    """Returns the head of a column; where it sorts, falling first, and the other way from then on.

    Where the address is so long that all heads together have no room on the page, they are no links.
    """
    kind = mark_safe(' class="num"') if column.is_number else ""
    sort = str(context["sort"])
    is_sorted, falling = sort.removeprefix("-") == column.key, sort.startswith("-")
    first = "-" if column.is_number else ""
    other = ("" if falling else "-") if is_sorted else first
    address = query(context, sort=f"{other}{column.key}", after="", before="")
    if column.key not in columns or len(address) * len(columns) > _ALL_HEADS:
        return format_html('<th scope="col"{} title="{}">{}</th>', kind, column.help, column.header)
    way = format_html(' aria-sort="{}"', "descending" if falling else "ascending") if is_sorted else ""
    arrow = ("\u00a0↓" if falling else "\u00a0↑") if is_sorted else ""
    return format_html(
        '<th scope="col"{}{} title="{}"><a href="{}">{}{}</a></th>',
        *(kind, way, column.help, address, column.header, arrow),
    )


@register.simple_tag
def table_cells(columns: Sequence[Column], row: Mapping[str, Any]) -> SafeString:
    """Returns the cells of a row. A list has a thousand cells, so there is one call per row."""
    return mark_safe("".join(map(_cell, columns, repeat(row))))


def _cell(column: Column, row: Mapping[str, Any]) -> str:
    shown = column.show(row)
    escaped = shown if isinstance(shown, SafeString) else escape(str(shown))
    kind = ' class="num"' if column.is_number else ""
    return f'<td{kind} data-label="{escape(column.header)}">{escaped}</td>'


@register.filter
def places_of(found: Mapping[int, Any], row: Mapping[str, Any]) -> Any:
    """Returns the search hits in a row's rollout."""
    return found.get(row["pk"], ()) if found else ()
