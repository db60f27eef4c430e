"""One rollout: its page, what changed on it, its sub-LLM calls, and its texts in full."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe
from django_htmx.http import HttpResponseClientRefresh

from rlm_runs import transcripts
from rlm_runs.models import Execution, Rollout, Text, Trajectory, Turn
from rlm_runs.transcripts import Conversation, Excerpt, Window

from ..formatting import weight
from ..neighbours import neighbours
from ..words import agreement, prompt_in_words

_ROWS = 100
"""Sub-LLM calls that a page carries in all; batches that do not fit any more are a click away."""
_ROWS_OF_BATCH = 200
"""Sub-LLM calls in one response about a batch."""
_OUTCOME_CHARS = 3_000
_PIECE = 150_000
"""Bytes of one text in one response."""


@require_safe
def rollout(request: HttpRequest, pk: int) -> HttpResponse:
    """The whole trace of one rollout, as a tree."""
    found = _rollout(pk)
    attempt = _number(request, "attempt", default=found.attempt, most=max(found.attempt, 1))
    root = transcripts.root_of(found, attempt=attempt)
    version = _version(found, root)  # before the reading: what comes meanwhile is asked for again, not missed
    conversation = _conversation(request, root)
    excerpts = transcripts.excerpts(_outcome_digests(found), chars=_OUTCOME_CHARS)
    context = {
        **_trace_context(found, conversation),
        "version": version,
        "judges": transcripts.judges_of(found, attempt=attempt),
        "attempt": attempt,
        "attempts": range(1, found.attempt + 1),
        "neighbours": neighbours(found),
        "prompt": excerpts.get(found.example.prompt_id, transcripts.EMPTY),
        **_answers(found, excerpts),
        "input_data": excerpts.get(found.example.input_data_id or ""),
    }
    return render(request, "dashboard/rollout.html", context)


@require_safe
def rollout_live(request: HttpRequest, pk: int) -> HttpResponse:
    """What changed on a rollout's page since `version`: its last known turn and what follows. 204 for nothing."""
    found = _rollout(pk)
    known = _number(request, "turns", default=0, least=0)
    root = transcripts.root_of(found, attempt=found.attempt)
    version = _version(found, root)
    if version == request.GET.get("version"):
        return HttpResponse(status=204)
    conversation = _conversation(request, root)
    context = _trace_context(found, conversation) | {"version": version}
    is_same_attempt = request.GET.get("attempt") == str(found.attempt)
    if not is_same_attempt or (conversation and "turns" not in request.GET):
        return HttpResponseClientRefresh()  # the page has no place for these turns
    excerpts = transcripts.excerpts(_outcome_digests(found), chars=_OUTCOME_CHARS)
    moves = conversation.moves if conversation else ()
    context |= {
        "attempt": found.attempt,
        "judges": transcripts.judges_of(found, attempt=found.attempt),
        **_answers(found, excerpts),
        "known": [move for move in moves if move.number == known],
        "fresh": [move for move in moves if move.number > known],
    }
    return render(request, "dashboard/rollout_live.html", context)


@require_safe
def call(request: HttpRequest, pk: int, trajectory: int) -> HttpResponse:
    """One sub-LLM call: a conversation like the root's. A fragment for htmx, a page for everybody else."""
    row = get_object_or_404(
        Trajectory.objects.select_related(
            "parent__turn__trajectory", "rollout__arm__experiment", "rollout__example"
        ),
        pk=trajectory,
        rollout=pk,
    )
    context = {
        **_trace_context(row.rollout, _conversation(request, row)),
        "call": row,
        "prefix": f"call-{row.pk}-",
    }
    template = "dashboard/_call.html" if request.htmx else "dashboard/call.html"  # type: ignore[attr-defined]
    return render(request, template, context)


@require_safe
def batch(request: HttpRequest, pk: int, execution: int, number: int) -> HttpResponse:
    """The rows of one batch from `first` on."""
    row = get_object_or_404(Execution, pk=execution, turn__trajectory__rollout=pk)
    calls = transcripts.batch_of(row, number)
    first = _number(request, "first", default=0, least=0)
    context = {
        "rollout": get_object_or_404(Rollout, pk=pk),
        "calls": calls[first : first + _ROWS_OF_BATCH],
        "execution": row,
        "number": number,
        "next": first + _ROWS_OF_BATCH if len(calls) > first + _ROWS_OF_BATCH else None,
        "total": len(calls),
    }
    template = "dashboard/_batch_rows.html" if request.htmx else "dashboard/batch.html"  # type: ignore[attr-defined]
    return render(request, template, context)


@require_safe
def prompt(request: HttpRequest, pk: int, turn: int) -> HttpResponse:
    """The exact messages that a turn's model call was sent, derived."""
    row = get_object_or_404(Turn.objects.select_related("trajectory"), pk=turn, trajectory__rollout=pk)
    messages = transcripts.prompt_of(row)
    as_json = request.GET.get("as") == "json"
    text = json.dumps(messages, ensure_ascii=False, indent=1) if as_json else prompt_in_words(messages)
    more = {"is_prompt": True, "as_json": as_json}
    return _text_page(request, text, title=f"Prompt of turn {row.index + 1}", rollout=_rollout(pk), more=more)


@dataclass(frozen=True)
class _Source:
    """Where a text of a rollout hangs: a relation to the rollout, and the parts that have a digest."""

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
    """One text of a rollout, in full."""
    digest = _digest(pk, owner, key, part)
    body = get_object_or_404(Text, pk=digest).text
    if owner == "execution" and part == "arguments":
        body = transcripts.code_of(transcripts.Excerpt(text=body, chars=len(body)))[0].text
    return _text_page(request, body, title=_TITLES.get((owner, part), f"{owner} {part}"), rollout=_rollout(pk))


def _digest(pk: int, owner: str, key: int, part: str) -> str:
    """The digest of a part, where it belongs to this rollout. An opening message's part is its number."""
    if owner == "example":
        example = _rollout(pk).example
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
    """A piece of a text, small enough for one response, and where the next begins."""
    start = _number(request, "from", default=0, least=0)
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
    template = "dashboard/_text.html" if request.htmx else "dashboard/text.html"  # type: ignore[attr-defined]
    return render(request, template, context)


def _rollout(pk: int) -> Rollout:
    return get_object_or_404(Rollout.objects.select_related("arm__experiment", "example"), pk=pk)


def _conversation(request: HttpRequest, trajectory: Trajectory | None) -> Conversation | None:
    if trajectory is None:
        return None
    return transcripts.read(trajectory, Window(first=_number(request, "from", default=1), weigh=weight))


def _version(rollout: Rollout, root: Trajectory | None) -> str:
    return f"{rollout.status}-{rollout.attempt}-{transcripts.version_of(root) if root else ''}"


def _trace_context(rollout: Rollout, conversation: Conversation | None) -> dict[str, Any]:
    return {
        "rollout": rollout,
        "conversation": conversation,
        "prefix": "",
        "open_batches": _open_batches(conversation),
        "output_limit": rollout.arm.scaffold_settings.get("output_limit", 8192),
        "is_live": rollout.status in (Rollout.Status.QUEUED, Rollout.Status.RUNNING),
    }


def _open_batches(conversation: Conversation | None) -> set[str]:
    """The keys of the batches whose calls the page carries: the first ones, as far as they fit."""
    left = _ROWS
    found = set()
    moves = conversation.moves if conversation else ()
    for batch in (batch for move in moves for step in move.steps for batch in step.batches):
        if len(batch.calls) <= left:
            found.add(batch.key)
            left -= len(batch.calls)
    return found


def _answers(rollout: Rollout, excerpts: Mapping[str, Excerpt]) -> dict[str, Any]:
    gold = excerpts.get(rollout.example.answer_id, transcripts.EMPTY)
    given = excerpts.get(rollout.answer_id or "")
    return {"gold": gold, "given": given, "agreement": agreement(given, gold) if given and given.chars else ""}


def _outcome_digests(rollout: Rollout) -> list[str]:
    example = rollout.example
    found = [rollout.answer_id, example.answer_id, example.prompt_id, example.input_data_id]
    return [digest for digest in found if digest]


def _number(request: HttpRequest, name: str, *, default: int, least: int = 1, most: int = 10**9) -> int:
    """A whole number of the query string. Raises BadRequest for anything else."""
    given = request.GET.get(name, str(default))
    if not given.isascii() or not given.isdecimal() or len(given) > 10 or not least <= int(given) <= most:
        if name in request.GET:
            raise BadRequest(f"{name} must be a whole number from {least} to {most}")
        return default
    return int(given)
