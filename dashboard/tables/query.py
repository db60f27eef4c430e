"""The URL's choices of a table: `q`, `sort`, `columns` and the position of the page. The URL is the state."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from django.db.models import Q
from django.http import QueryDict
from django.utils.http import urlencode

from rlm_runs.analysis import filters, search
from rlm_runs.analysis.filters import FilterError, Query
from rlm_runs.analysis.search import Matches

from ..pagination import Column as Order
from .columns import Column, Table, orders

_MOST_COLUMNS = 60
_LONGEST_CURSOR = 400


@dataclass(frozen=True)
class Problem:
    """A problem of a request, with valid alternatives. `start` and `end` are a range in `parameter`."""

    message: str
    parameter: str = "q"
    start: int = 0
    end: int = 0
    allowed: tuple[str, ...] = ()
    suggestion: str = ""

    def as_json(self) -> dict[str, Any]:
        """Returns the problem for the API."""
        said: dict[str, Any] = {"error": self.message, "parameter": self.parameter, "allowed": self.allowed}
        if self.parameter == "q":
            said["position"] = [self.start, self.end]
        return said | ({"suggestion": self.suggestion} if self.suggestion else {})


TOO_SLOW = Problem(f"This search took longer than {search.SECONDS} s. Add a rarer word, or narrow it by a key.")


@dataclass(frozen=True)
class TableQuery:
    """The choices of a table. With a `problem`, the other fields are defaults."""

    table: Table
    q: str
    query: Query
    condition: Q
    sort: str
    columns: tuple[Column, ...]
    after: str
    before: str
    matches: Mapping[str, Matches]
    problem: Problem | None

    @property
    def sorting(self) -> Column:
        """The column by which the table is sorted."""
        column = self.table.column(self.sort.removeprefix("-"))
        assert column is not None
        return column

    @property
    def needed(self) -> tuple[Column, ...]:
        """The shown columns, and the one by which the table is sorted."""
        return (*self.columns, self.sorting)

    @property
    def orders(self) -> Mapping[str, Order]:
        """The orders that the table offers with its current columns."""
        return orders(self.needed)

    @property
    def kept(self) -> str:
        """The query string that reproduces the table from its first page on."""
        keys = ",".join(column.key for column in self.columns)
        parts = {
            "q": self.q,
            "sort": "" if self.sort == self.table.sort else self.sort,
            "columns": "" if keys == ",".join(self.table.shown) else keys,
        }
        return urlencode({name: value for name, value in parts.items() if value})

    @property
    def common(self) -> tuple[str, ...]:
        """The searched phrases that occur almost everywhere."""
        return tuple(said for said, found in self.matches.items() if found.is_common)

    @property
    def is_active(self) -> bool:
        """Whether any filter is set."""
        return bool(self.q.strip())


def parse_query(given: QueryDict, table: Table) -> TableQuery:
    """Returns the choices of a query string. The first error is its `problem`."""
    problems: list[Problem] = []
    columns = _columns(given, table, problems)
    sort = _sort(given, table, problems)
    q = given.get("q", "")
    matches: dict[str, Matches] = {}
    query, condition = _condition(q, problems, matches) if table.has_filters else (Query(q), Q())
    return TableQuery(
        table=table,
        q=q,
        query=query,
        condition=condition,
        sort=sort,
        columns=columns,
        after=given.get("after", "")[:_LONGEST_CURSOR],
        before=given.get("before", "")[:_LONGEST_CURSOR],
        matches=matches,
        problem=problems[0] if problems else None,
    )


def _condition(q: str, problems: list[Problem], matches: dict[str, Matches]) -> tuple[Query, Q]:
    """Returns the query and its condition. Adds the matches of its phrases to `matches`."""
    query = Query(q)

    def find(said: str) -> Matches:
        matches[said] = search.find(said)
        return matches[said]

    try:
        query = filters.parse(q)
        with search.bounded() if query.searches else nullcontext():
            return query, filters.condition(query, find=find)
    except search.TooSlow:
        problems.insert(0, TOO_SLOW)
        return query, Q()
    except FilterError as error:
        problems.insert(
            0,
            Problem(
                str(error),
                start=error.start,
                end=error.end,
                allowed=error.allowed,
                suggestion=error.suggestion,
            ),
        )
        return query, Q()


def _columns(given: QueryDict, table: Table, problems: list[Problem]) -> tuple[Column, ...]:
    default = tuple(table.columns[key] for key in table.shown)
    keys = [key.strip() for part in given.getlist("columns") for key in part.split(",") if key.strip()]
    if len(keys) > _MOST_COLUMNS:
        problems.append(Problem(f"at most {_MOST_COLUMNS} columns at once", parameter="columns"))
        return default
    found = []
    for key in dict.fromkeys(keys):
        column = table.column(key)
        if column is None:
            problems.append(_no_column(key, table, "columns", tuple(table.columns)))
            return default
        found.append(column)
    return tuple(found) or default


def _sort(given: QueryDict, table: Table, problems: list[Problem]) -> str:
    sort = given.get("sort", "") or table.sort
    column = table.column(sort.removeprefix("-"))
    if column is None or column.order is None:
        allowed = tuple(key for key, found in table.columns.items() if found.order)
        problems.append(_no_column(sort, table, "sort", allowed))
        return table.sort
    return sort


def _no_column(key: str, table: Table, parameter: str, allowed: tuple[str, ...]) -> Problem:
    doing = "to sort by" if parameter == "sort" else "of that name"
    return Problem(f"{table.name} have no column {doing}: “{key[:60]}”", parameter=parameter, allowed=allowed)
