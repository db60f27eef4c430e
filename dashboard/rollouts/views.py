"""Lists of rollouts, of all experiments or of one: the page, the whole list as CSV, a page of it as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from rlm_runs.analysis import filters, search
from rlm_runs.analysis.filters import Query
from rlm_runs.models import Experiment, Rollout, SavedView
from rlm_runs.models.experiments import RolloutQuerySet

from ..pagination import BadCursor, Page, in_order
from ..permissions import share_of
from ..query_params import whole_number
from ..tables import exports
from ..tables.columns import Table
from ..tables.query import TOO_SLOW, Problem, TableQuery, parse_query
from ..tables.rollouts import ROLLOUTS, of_one_experiment, page_of, rows
from . import chips, former_filters, search_hits
from .column_sets import sets

SIZE = 50
_MOST_CELLS = 1_500
"""The cells of a page. With nearly all columns it has fewer rows, so that its size stays within bounds."""
COUNTED = 10_000
"""A list counts its rows up to this number. Counting further would cost more than the list."""
_COUNTED_COMMON = 200
"""The same limit if each rollout is searched for a word that occurs almost everywhere."""
_MOST_OF_API = 200
_OWN_KEYS = 24
_NO_ROWS: Page[dict[str, Any]] = Page(rows=(), before="", after="")


@dataclass(frozen=True)
class _Scope:
    """The scope of a list: all rollouts, or those of one experiment."""

    experiment: Experiment | None
    table: Table

    @property
    def rollouts(self) -> RolloutQuerySet:
        """All rollouts that the list may show."""
        return self.experiment.rollouts() if self.experiment else Rollout.objects.listed()


def _scope(slug: str) -> _Scope:
    if not slug:
        return _Scope(None, ROLLOUTS)
    experiment = get_object_or_404(Experiment.objects.defer("spec", "sources"), slug=slug)
    return _Scope(experiment, of_one_experiment(ROLLOUTS))


@require_safe
def rollout_list(request: HttpRequest, slug: str = "") -> HttpResponse:
    """Shows rollouts of one experiment, or of all."""
    if (kept := former_filters.current_query(request.GET)) is not None:
        return redirect(f"{request.path}?{kept}")
    scope = _scope(slug)
    wanted = parse_query(request.GET, scope.table)
    result = _Result(wanted)
    if wanted.problem is None:
        result = _result(scope, wanted, size=min(SIZE, _MOST_CELLS // max(1, len(wanted.columns))))
    context = {
        "section": "rollouts",
        "experiment": scope.experiment,
        "asked": result.asked,
        "sort": wanted.sort,
        "page": result.page,
        "count": result.count,
        "counted": result.counted,
        **_words(result),
        "hints": [] if result.page.rows else filters.hints(wanted.query, experiment=scope.experiment),
        "chips": chips.chips(wanted.query) if wanted.problem is None else (),
        "examples": chips.EXAMPLES,
        "has_pane": "pane" in request.GET,
        "keys": filters.KEYS.values(),
        "families": filters.KINDS.values(),
        **_choices(request, scope, wanted),
    }
    return render(request, "dashboard/rollouts/list.html", context)


@require_safe
def filter_menus(request: HttpRequest) -> HttpResponse:
    """Returns the menus of values that write the filter, for the list of an experiment or of all."""
    scope = _scope(request.GET.get("experiment", ""))
    slug = [scope.experiment.slug] if scope.experiment else []
    context = {
        "menus": chips.menus(chips.readable(Query(request.GET.get("q", ""))), experiment=scope.experiment),
        "path": reverse("experiment-rollouts" if slug else "rollouts", args=slug),
        "kept": {name: request.GET[name] for name in ("sort", "columns", "pane") if request.GET.get(name)},
    }
    return render(request, "dashboard/rollouts/_filter_menus.html", context)


@require_safe
def rollouts_csv(request: HttpRequest, slug: str = "") -> HttpResponse | StreamingHttpResponse:
    """Streams the whole list as CSV."""
    scope = _scope(slug)
    wanted = parse_query(request.GET, scope.table)
    if wanted.problem:
        return exports.problem_response(wanted.problem)
    parts = in_order(
        rows(scope.rollouts.filter(wanted.condition), wanted.needed), columns=wanted.orders, sort=wanted.sort
    )
    name = f"rollouts-{slug}" if slug else "rollouts"
    return exports.csv_response(wanted.columns, exports.streamed(parts), name=name)


@require_safe
def rollouts_json(request: HttpRequest, slug: str = "") -> HttpResponse:
    """Returns a page of the list as JSON, with the URLs of the next and the previous page."""
    scope = _scope(slug)
    size = whole_number(request, "limit", default=SIZE, most=_MOST_OF_API)
    wanted = parse_query(request.GET, scope.table)
    result = _Result(wanted) if wanted.problem else _result(scope, wanted, size=size)
    if result.asked.problem:
        return exports.problem_response(result.asked.problem)
    more = {
        "count": min(result.count, result.counted),
        "count_is_a_minimum": result.count > result.counted,
    }
    return exports.json_page(request, wanted.columns, result.page, result.page.rows, **more)


@dataclass(frozen=True)
class _Result:
    """A page of rows and the number of rows, up to one more than the limit."""

    asked: TableQuery
    page: Page[dict[str, Any]] = _NO_ROWS
    count: int = 0

    @property
    def counted(self) -> int:
        """The number up to which rows are counted."""
        return _COUNTED_COMMON if self.asked.common else COUNTED


def _result(scope: _Scope, wanted: TableQuery, *, size: int) -> _Result:
    matching = scope.rollouts.filter(wanted.condition)
    try:
        with search.bounded() if wanted.query.searches else nullcontext():
            page = page_of(matching, wanted, size=size)
            is_all = not (page.before or page.after or wanted.after or wanted.before)
            count = len(page.rows) if is_all else matching.order_by()[: _Result(wanted).counted + 1].count()
    except BadCursor:
        problem = Problem("This page of the list does not exist. Start at the first one.", parameter="after")
        return _Result(replace(wanted, problem=problem))
    except search.TooSlow:
        return _Result(replace(wanted, problem=TOO_SLOW))
    return _Result(wanted, page, count)


def _words(result: _Result) -> dict[str, Any]:
    """Returns the search hits in the rollouts of the page."""
    wanted = result.asked
    phrases = [wanted.matches[phrase] for phrase in wanted.query.words] if result.page.rows else []
    try:
        with search.bounded() if phrases else nullcontext():
            return {"found": search_hits.places(phrases, [row["pk"] for row in result.page.rows])}
    except search.TooSlow:
        return {"is_cut_short": True}


def _choices(request: HttpRequest, scope: _Scope, wanted: TableQuery) -> dict[str, Any]:
    """Returns the choices of the page: columns, saved views, and other formats."""
    slug = [scope.experiment.slug] if scope.experiment else []
    prefix = "experiment-" if slug else ""
    query = f"?{wanted.kept}" if wanted.kept else ""
    shown = {column.key for column in wanted.columns}
    own = [key for key in filters.own_keys(scope.experiment) if "," not in key] if scope.experiment else []
    return {
        "columns": [(column, column.key in shown) for column in _offered(scope.table, own[:_OWN_KEYS], wanted)],
        "column_sets": sets(with_experiment=not slug, with_reviews=not share_of(request)),
        "csv": reverse(f"{prefix}rollouts-csv", args=slug) + query,
        "json": reverse(f"api-{prefix}rollouts", args=slug) + query,
        "complete": reverse("filter-completions") + (f"?experiment={slug[0]}" if slug else ""),
        "saved": SavedView.objects.filter(user=request.user.pk, table=scope.table.name),
    }


def _offered(table: Table, own: Iterable[str], wanted: TableQuery) -> Iterable[Any]:
    keys = dict.fromkeys([*table.columns, *own, *(column.key for column in wanted.columns)])
    return [column for key in keys if (column := table.column(key))]
