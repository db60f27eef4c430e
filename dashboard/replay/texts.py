"""The full texts of a rollout, in pieces, and the prompts of its turns."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from rlm_runs.analysis import transcripts
from rlm_runs.models import Execution, Rollout, Text, Trajectory, Turn

from ..formatting import weight
from ..query_params import rollout_or_404, whole_number
from .wording import prompt_in_words

_PIECE = 150_000
"""The maximum size of a text in one response, in bytes."""


@require_safe
def prompt(request: HttpRequest, pk: int, turn: int) -> HttpResponse:
    """Shows the exact messages that a turn's model call was sent, derived from the trace."""
    row = get_object_or_404(Turn.objects.select_related("trajectory"), pk=turn, trajectory__rollout=pk)
    messages = transcripts.prompt_of(row)
    as_json = request.GET.get("as") == "json"
    text = json.dumps(messages, ensure_ascii=False, indent=1) if as_json else prompt_in_words(messages)
    more = {"is_prompt": True, "as_json": as_json}
    return _text_page(
        request, text, title=f"Prompt of turn {row.index + 1}", rollout=rollout_or_404(pk), more=more
    )


@dataclass(frozen=True)
class _Source:
    """The place of a text: a relation to the rollout, and the parts that have a digest."""

    model: Any
    path: str
    parts: frozenset[str]


_SOURCES = {
    "turn": _Source(Turn, "trajectory__rollout", frozenset({"content", "reasoning", "reply"})),
    "execution": _Source(
        Execution, "turn__trajectory__rollout", frozenset({"arguments", "output", "shown", "out", "answer"})
    ),
    "trajectory": _Source(Trajectory, "rollout", frozenset({"answer"})),
    "rollout": _Source(Rollout, "pk", frozenset({"answer"})),
}


_TITLES = {
    ("execution", "output"): "All that was written",
    ("execution", "shown"): "What the model was shown",
    ("execution", "arguments"): "Code",
    ("execution", "answer"): "Answer after this cell",
    ("turn", "content"): "What the model said",
    ("turn", "reasoning"): "Reasoning",
    ("turn", "reply"): "The host’s reply",
    ("trajectory", "answer"): "Returned to the REPL",
    ("rollout", "answer"): "Answer given",
    ("example", "prompt"): "Prompt of the example",
    ("example", "answer"): "Gold answer",
    ("example", "input"): "Input data",
}


@require_safe
def text(request: HttpRequest, pk: int, owner: str, key: int, part: str) -> HttpResponse:
    """Shows one text of a rollout in full."""
    digest = _digest(pk, owner, key, part)
    body = get_object_or_404(Text, pk=digest).text
    if owner == "execution" and part == "arguments":
        body = transcripts.code_of(transcripts.Excerpt(text=body, chars=len(body)))[0].text
    return _text_page(
        request, body, title=_TITLES.get((owner, part), f"{owner} {part}"), rollout=rollout_or_404(pk)
    )


def _digest(pk: int, owner: str, key: int, part: str) -> str:
    """Returns the digest of a part of this rollout. Raises Http404.

    The part of an opening message is its number.
    """
    if owner == "example":
        example = rollout_or_404(pk).example
        found = {"prompt": example.prompt_id, "answer": example.answer_id, "input": example.input_data_id}.get(
            part
        )
    elif owner == "opening":
        opening = get_object_or_404(Trajectory, pk=key, rollout=pk).opening
        found = opening[int(part)]["text"] if part.isdecimal() and int(part) < len(opening) else None
    else:
        source = _SOURCES.get(owner)
        if source is None or part not in source.parts:
            raise Http404
        row = get_object_or_404(source.model.objects.filter(**{source.path: pk}), pk=key)
        found = getattr(row, f"{part}_id")
    if found is None:
        raise Http404
    return str(found)


def _text_page(
    request: HttpRequest, body: str, *, title: str, rollout: Rollout, more: Mapping[str, Any] | None = None
) -> HttpResponse:
    """Shows a piece of a text that fits into one response, with the start of the next piece."""
    start = whole_number(request, "from", default=0, least=0)
    piece = body[start : start + _PIECE]
    while (size := weight(piece)) > _PIECE:
        piece = piece[: len(piece) * _PIECE // size - 1]
    end = start + len(piece)
    context = {
        "title": title,
        "rollout": rollout,
        "piece": piece,
        "start": start,
        "end": end,
        "chars": len(body),
        "next": end if end < len(body) else None,
        **(more or {}),
    }
    template = "dashboard/replay/_text.html" if request.htmx else "dashboard/replay/text.html"  # type: ignore[attr-defined]
    return render(request, template, context)
