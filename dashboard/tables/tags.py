"""Template tags of tables: their headers, their rows, and the search hits in a row."""

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
"""The maximum number of characters of all URLs in the headers of one table."""


@register.simple_tag(takes_context=True)
def table_header(context: template.Context, column: Column, columns: Mapping[str, Any]) -> SafeString:
    """Returns the header of a column. A sortable one links to the descending order first, then to the reverse.

    If the URLs of all headers together are too long for the page, they are not links.
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
