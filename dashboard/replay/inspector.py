"""The inspector beside a transcript, which shows the state after a turn, and the search in a rollout's texts."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from rlm_runs.analysis import transcripts
from rlm_runs.analysis.replay import moment, text_search

from ..query_params import rollout_or_404, whole_number
from .window_bars import WindowBars

_MOST_WORDS = 200


@require_safe
def inspector(request: HttpRequest, pk: int, at: int) -> HttpResponse:
    """Shows `answer`, the variables, the context window, tokens and cost after a turn, as a fragment."""
    rollout = rollout_or_404(pk)
    attempt = whole_number(request, "attempt", default=max(rollout.attempt, 1))
    root = transcripts.root_of(rollout, attempt=attempt)
    found = moment.read(root, number=at) if root else None
    if found is None:
        raise Http404("there is no such turn")
    bars = WindowBars.of(found.windows, model=rollout.arm.model)
    context = {
        "rollout": rollout,
        "attempt": attempt,
        "moment": found,
        "parts": bars.parts(found.window),
        "window": bars.window,
        "limit_at": bars.limit_at,
        "filled": bars.filled(found.window),
    }
    return render(request, "dashboard/replay/_inspector.html", context)


@require_safe
def search(request: HttpRequest, pk: int) -> HttpResponse:
    """Shows the places of words in a rollout, as a fragment for htmx, otherwise as a page."""
    rollout = rollout_or_404(pk)
    attempt = whole_number(request, "attempt", default=max(rollout.attempt, 1))
    words = request.GET.get("words", "")[:_MOST_WORDS]
    context = {
        "rollout": rollout,
        "attempt": attempt,
        "title": "Search",
        "words": words,
        "found": text_search.search(rollout, words, attempt=attempt),
        "most": text_search.MOST_MATCHES,
    }
    name = "_search_results" if request.htmx else "search"  # type: ignore[attr-defined]
    return render(request, f"dashboard/replay/{name}.html", context)
