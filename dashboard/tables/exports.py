"""Exports all rows of a table as CSV, and one page of them as JSON.

CSV is streamed from a database cursor, for any number of rows. A text that a spreadsheet would read as a formula
is written after an apostrophe.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import chain, islice
from typing import Any, TypeVar

from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse

from ..formatting import no_formula
from ..pagination import Page
from .columns import Column, Row
from .query import Problem

CHUNK = 2_000
"""The number of rows in memory at a time."""


class _Line:
    """A file to which a csv writer writes, and which returns each line."""

    def write(self, line: str) -> str:
        """Returns the line."""
        return line


def csv_response(columns: Sequence[Column], rows: Iterable[Row], *, name: str) -> StreamingHttpResponse:
    """Returns a download with a line per row. Rows are read while the response is sent."""
    response = StreamingHttpResponse(_lines(columns, rows), content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return response


def _lines(columns: Sequence[Column], rows: Iterable[Row]) -> Iterator[str]:
    writer = csv.writer(_Line())
    yield writer.writerow([_cell(column.key) for column in columns])
    lines = (writer.writerow([_cell(column.value(row)) for column in columns]) for row in rows)
    while part := "".join(islice(lines, CHUNK)):
        yield part


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return no_formula(value)
    return "" if value is None else value


RowT = TypeVar("RowT")


def streamed(parts: Iterable[QuerySet[Any, RowT]]) -> Iterator[RowT]:
    """Yields the rows of the queries one after the other, through a database cursor, as of one moment."""
    with transaction.atomic():
        yield from chain.from_iterable(part.iterator(chunk_size=CHUNK) for part in parts)


def json_row(columns: Sequence[Column], row: Row) -> dict[str, Any]:
    """Returns a row for the API."""
    return {column.key: json_value(column.value(row)) for column in columns}


def json_value(value: Any) -> Any:
    """Returns a value in JSON types."""
    if isinstance(value, Decimal):
        return float(value)
    return value.isoformat() if isinstance(value, datetime) else value


def json_columns(columns: Sequence[Column]) -> list[dict[str, str]]:
    """Returns descriptions of the columns."""
    return [{"key": column.key, "unit": column.unit, "help": column.help} for column in columns]


def batched(rows: Iterable[RowT], size: int) -> Iterator[list[RowT]]:
    """Yields the rows in lists of at most `size`."""
    left = iter(rows)
    while part := list(islice(left, size)):
        yield part


def json_page(
    request: HttpRequest, columns: Sequence[Column], page: Page[Any], rows: Iterable[Row], **more: Any
) -> HttpResponse:
    """Returns a page of rows as JSON, with the URLs of the next and the previous page."""

    def address(name: str, cursor: str) -> str | None:
        parts = request.GET.copy()
        parts.pop("after", None)
        parts.pop("before", None)
        parts[name] = cursor
        return f"{request.path}?{parts.urlencode()}" if cursor else None

    return JsonResponse(
        {
            **more,
            "columns": json_columns(columns),
            "rows": [json_row(columns, row) for row in rows],
            "next": address("after", page.after),
            "previous": address("before", page.before),
        }
    )


def problem_response(problem: Problem) -> HttpResponse:
    """Returns 400 with the reason."""
    return JsonResponse(problem.as_json(), status=400)
