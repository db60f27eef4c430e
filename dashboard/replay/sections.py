"""Sections of a replay beside its transcript: timeline, flame graph, context window, answer, variables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.timezone import now
from django.views.decorators.http import require_safe

from rlm_runs.analysis import transcripts
from rlm_runs.analysis.replay import answers, context_window, coverage, diagnosis, spans, variables
from rlm_runs.analysis.replay.spans import Span, SpanTree
from rlm_runs.models import Rollout, Trajectory

from .. import text_diff
from ..formatting import percent
from ..query_params import rollout_or_404, whole_number
from . import span_exports
from .tabs import SECTIONS
from .window_bars import WindowBars

_MOST_BATCHES = 50
_MOST_SPANS = 12
_MOST_EDITS = 60
_MOST_UNREAD = 10
_UNREAD_CHARS = 300
_LEAST_GAP = 0.8


@dataclass(frozen=True)
class _Attempt:
    """The attempt that a section shows."""

    rollout: Rollout
    number: int

    @classmethod
    def of(cls, request: HttpRequest, pk: int) -> _Attempt:
        rollout = rollout_or_404(pk)
        last = rollout.attempt
        return cls(rollout, whole_number(request, "attempt", default=max(last, 1), most=max(last, 1)))

    @property
    def root(self) -> Trajectory | None:
        return transcripts.root_of(self.rollout, attempt=self.number)

    def tree(self) -> SpanTree | None:
        return spans.read(self.rollout, attempt=self.number, now=now())


def _page(request: HttpRequest, attempt: _Attempt, view: str, context: Mapping[str, Any]) -> HttpResponse:
    rollout = attempt.rollout
    shared = {
        "rollout": rollout,
        "attempt": attempt.number,
        "view": view,
        "title": dict(SECTIONS)[view],
        "is_live": rollout.status in (Rollout.Status.QUEUED, Rollout.Status.RUNNING),
    }
    return render(request, f"dashboard/replay/{view.removeprefix('rollout-')}.html", {**shared, **context})


@require_safe
def timeline(request: HttpRequest, pk: int) -> HttpResponse:
    """Shows lanes of time: the root's model calls, its executions, and overlapping sub-calls."""
    attempt = _Attempt.of(request, pk)
    tree = attempt.tree()
    context: dict[str, Any] = {"tree": tree}
    if tree is not None:
        context |= {
            "idle": spans.idle_seconds(tree),
            "model_seconds": sum(span.seconds for span in tree.spans if span.kind == "model" and span.turn),
            "batches": spans.batches(tree)[:_MOST_BATCHES],
            "slowest": _largest(tree.spans, lambda span: span.seconds),
        }
    return _page(request, attempt, "rollout-timeline", context)


@require_safe
def flame(request: HttpRequest, pk: int) -> HttpResponse:
    """Shows the tree of spans, each as wide as its seconds, tokens or dollars."""
    attempt = _Attempt.of(request, pk)
    tree = attempt.tree()
    context: dict[str, Any] = {"tree": tree}
    if tree is not None:
        context |= {
            "has_tokens": any(span.tokens for span in tree.spans),
            "has_dollars": any(span.dollars for span in tree.spans),
            "dearest": _largest(tree.spans, lambda span: span.dollars or span.tokens or 0),
        }
    return _page(request, attempt, "rollout-flame", context)


def _largest(found: Sequence[Span], measure: Any) -> list[Span]:
    leaves = [
        span for span in found if span.kind in ("model", "cell", "tool", "sub_call", "judge") and measure(span)
    ]
    return sorted(leaves, key=measure, reverse=True)[:_MOST_SPANS]


@require_safe
def context_page(request: HttpRequest, pk: int) -> HttpResponse:
    """Shows what filled the root's context window at each of its turns, and the limit."""
    attempt = _Attempt.of(request, pk)
    root = attempt.root
    turns = context_window.read(root) if root else ()
    bars = WindowBars.of(turns, model=attempt.rollout.arm.model)
    return _page(
        request,
        attempt,
        "rollout-context",
        {
            "rows": [{"turn": turn, "parts": bars.parts(turn), "filled": bars.filled(turn)} for turn in turns],
            "window": bars.window,
            "limit_at": bars.limit_at,
            "largest": bars.largest,
            "share": percent(bars.largest / bars.window) if bars.window and bars.largest else None,
        },
    )


@require_safe
def answer(request: HttpRequest, pk: int) -> HttpResponse:
    """Shows the history of `answer` as diffs, with the moment when it became ready."""
    attempt = _Attempt.of(request, pk)
    root = attempt.root
    edits = answers.read(root) if root else ()
    shown = [(edit, text_diff.diff(edit.before.text, edit.after.text)) for edit in edits[:_MOST_EDITS]]
    return _page(request, attempt, "rollout-answer", {"edits": shown, "total": len(edits)})


@require_safe
def variables_page(request: HttpRequest, pk: int) -> HttpResponse:
    """Shows the variables of the root's REPL after a cell, and the cells that wrote each."""
    attempt = _Attempt.of(request, pk)
    root = attempt.root
    history = variables.read(root) if root else None
    if history is None or not history.cells:
        return _page(request, attempt, "rollout-variables", {"history": None})
    last = history.cells[-1].cell
    number = whole_number(request, "cell", default=last, most=last)
    after = history.after(number) or history.cells[-1]
    place = history.cells.index(after)
    return _page(
        request,
        attempt,
        "rollout-variables",
        {
            "history": history,
            "after": after,
            "rows": [(variable, history.writers.get(variable.name, ())) for variable in after.variables],
            "previous": history.cells[place - 1].cell if place else None,
            "following": history.cells[place + 1].cell if place + 1 < len(history.cells) else None,
        },
    )


@require_safe
def input_page(request: HttpRequest, pk: int) -> HttpResponse:
    """Shows the ranges of the input data that were printed, went to sub-LLMs, or were never read."""
    attempt = _Attempt.of(request, pk)
    found = coverage.read(attempt.rollout, attempt=attempt.number)
    as_strip = request.GET.get("as") == "strip"
    if found is None:
        return HttpResponse() if as_strip else _page(request, attempt, "rollout-input", {"coverage": None})
    seen, data = found
    lanes = (
        ("Printed", "printed", seen.printed),
        ("Sub-LLM prompts", "prompted", seen.prompted),
        ("Never read", "unread", seen.unread),
        ("Evidence", "evidence", seen.evidence),
    )
    drawn = [
        {"title": title, "name": name, "share": percent(seen.share(ranges)), "bars": _bars(ranges, seen.chars)}
        for title, name, ranges in lanes
        if ranges or name != "evidence"
    ]
    if as_strip:
        context = {"rollout": attempt.rollout, "coverage": seen, "lanes": drawn}
        return render(request, "dashboard/replay/_coverage.html", context)
    return _page(
        request,
        attempt,
        "rollout-input",
        {
            "coverage": seen,
            "lanes": drawn,
            "unread": [
                {"begin": begin, "end": end, "chars": end - begin, "text": data[begin : begin + _UNREAD_CHARS]}
                for begin, end in sorted(seen.unread, key=lambda each: each[0] - each[1])[:_MOST_UNREAD]
            ],
            "missed": [
                {"begin": begin, "end": end, "text": data[begin:end][:_UNREAD_CHARS]}
                for begin, end in seen.missed_evidence[:_MOST_UNREAD]
            ],
        },
    )


def _bars(ranges: Sequence[tuple[int, int]], chars: int) -> list[tuple[float, float]]:
    """Returns the ranges as (start, width) in a drawing 1,000 wide. Ranges less than a pixel apart are joined."""
    found: list[tuple[float, float]] = []
    for begin, end in ranges:
        left, right = 1000 * begin / chars, 1000 * end / chars
        if found and left - found[-1][1] < _LEAST_GAP:
            found[-1] = (found[-1][0], max(found[-1][1], right))
        else:
            found.append((left, right))
    return [(left, max(right - left, _LEAST_GAP)) for left, right in found]


@require_safe
def diagnosis_page(request: HttpRequest, pk: int) -> HttpResponse:
    """Shows candidate moments at which the rollout went wrong."""
    attempt = _Attempt.of(request, pk)
    rollout = attempt.rollout
    is_right = rollout.reward is not None and rollout.reward >= 1
    moments = () if is_right else diagnosis.read(rollout, attempt=attempt.number)
    return _page(request, attempt, "rollout-diagnosis", {"moments": moments, "is_right": is_right})


@require_safe
def spans_json(request: HttpRequest, pk: int) -> HttpResponse:
    """Returns the spans of an attempt as JSON: compact for the page, or for speedscope or Perfetto (`as=`)."""
    attempt = _Attempt.of(request, pk)
    tree = attempt.tree()
    if tree is None:
        raise Http404("this rollout has no times")
    form = request.GET.get("as", "")
    name = f"rollout-{pk}"
    if form in span_exports.FORMS:
        response = HttpResponse(
            json.dumps(span_exports.FORMS[form](tree, name=name)), content_type="application/json"
        )
        response["Content-Disposition"] = f'attachment; filename="{name}.{form}.json"'
        return response
    return JsonResponse(_compact(tree))


COLUMNS = ("key", "parent", "kind", "label", "start_ms", "ms", "own_ms", "turn", "tokens", "dollars", "flags")


def _compact(tree: SpanTree) -> dict[str, Any]:
    """Returns rows instead of objects, because field names would be most of the response."""
    own = spans.own_seconds(tree)
    return {
        "began": tree.began.isoformat(),
        "seconds": tree.seconds,
        "columns": COLUMNS,
        "spans": [
            [
                span.key,
                span.parent,
                span.kind,
                span.label,
                round(1000 * span.start),
                round(1000 * span.seconds),
                round(1000 * own[index]),
                span.turn,
                span.tokens,
                _number(span.dollars),
                int(span.is_failed) + 2 * int(span.is_running),
            ]
            for index, span in enumerate(tree.spans)
        ],
    }


def _number(dollars: Decimal | None) -> float | None:
    return None if dollars is None else float(round(dollars, 8))
