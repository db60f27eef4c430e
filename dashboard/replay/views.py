"""One rollout: its page, the page's live updates, and its sub-LLM calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe
from django_htmx.http import HttpResponseClientRefresh

from rlm_runs.analysis import transcripts
from rlm_runs.analysis.transcripts import Conversation, Excerpt, Window
from rlm_runs.models import Execution, Rollout, Trajectory

from ..formatting import weight
from ..permissions import sees_experiment
from ..query_params import rollout_or_404, whole_number
from .history import AttemptHistory, rescorings_of
from .neighbours import neighbours
from .wording import agreement

_ROWS = 100
"""The maximum number of sub-LLM calls on a page. Batches that do not fit are loaded on demand."""
_ROWS_OF_BATCH = 200
"""The maximum number of sub-LLM calls in one response about a batch."""
_OUTCOME_CHARS = 3_000


@require_safe
def rollout(request: HttpRequest, pk: int) -> HttpResponse:
    """Shows the whole trace of one rollout as a tree."""
    found = rollout_or_404(pk)
    history = AttemptHistory.of(found)
    attempt = whole_number(request, "attempt", default=history.last, most=max(history.last, 1))
    shown = history.shown(attempt)
    root = transcripts.root_of(found, attempt=attempt)
    version = _version(found, root)  # read first, so that the next request fetches later events
    conversation = _conversation(request, root)
    excerpts = transcripts.excerpts(_outcome_digests(shown), chars=_OUTCOME_CHARS)
    is_fork = found.arm.experiment.forks_of_id is not None  # its tree takes the place of neighbours
    context = {
        **_trace_context(shown, conversation),
        "version": version,
        "judges": transcripts.judges_of(found, attempt=attempt),
        "rescorings": rescorings_of(found, attempt=attempt),
        "attempt": attempt,
        "history": history,
        "notes": found.notes.all() if found.claims > 1 else (),
        "was_cut_off": history.was_cut_off(attempt),
        "is_earlier_attempt": attempt != history.last,
        "neighbours": neighbours(found) if sees_experiment(request) and not is_fork else None,
        "prompt": excerpts.get(found.example.prompt_id, transcripts.EMPTY),
        **_answers(shown, excerpts),
        "input_data": excerpts.get(found.example.input_data_id or ""),
    }
    return render(request, "dashboard/replay/rollout.html", context)


@require_safe
def rollout_live(request: HttpRequest, pk: int) -> HttpResponse:
    """Returns the changes of a rollout's page since `version`, from its last known turn on; 204 without
    changes.
    """
    found = rollout_or_404(pk)
    known = whole_number(request, "turns", default=0, least=0)
    attempt = AttemptHistory.of(found).last
    root = transcripts.root_of(found, attempt=attempt)
    version = _version(found, root)
    if version == request.GET.get("version"):
        return HttpResponse(status=204)
    conversation = _conversation(request, root)
    context = _trace_context(found, conversation) | {"version": version}
    is_same_attempt = request.GET.get("attempt") == str(attempt)
    if not is_same_attempt or (conversation and "turns" not in request.GET):
        return HttpResponseClientRefresh()  # the page has no place for these turns
    excerpts = transcripts.excerpts(_outcome_digests(found), chars=_OUTCOME_CHARS)
    turns = conversation.turns if conversation else ()
    context |= {
        "attempt": attempt,
        "judges": transcripts.judges_of(found, attempt=attempt),
        "rescorings": rescorings_of(found, attempt=attempt),
        **_answers(found, excerpts),
        "known": [turn for turn in turns if turn.number == known],
        "fresh": [turn for turn in turns if turn.number > known],
    }
    return render(request, "dashboard/replay/live.html", context)


@require_safe
def call(request: HttpRequest, pk: int, trajectory: int) -> HttpResponse:
    """Shows one sub-LLM call, a conversation like the root's, as a fragment for htmx, otherwise as a page."""
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
    template = "dashboard/replay/_call.html" if request.htmx else "dashboard/replay/call.html"  # type: ignore[attr-defined]
    return render(request, template, context)


@require_safe
def batch(request: HttpRequest, pk: int, execution: int, number: int) -> HttpResponse:
    """Shows the rows of one batch from `first` on."""
    row = get_object_or_404(Execution, pk=execution, turn__trajectory__rollout=pk)
    calls = transcripts.batch_of(row, number)
    first = whole_number(request, "first", default=0, least=0)
    context = {
        "rollout": get_object_or_404(Rollout, pk=pk),
        "calls": calls[first : first + _ROWS_OF_BATCH],
        "execution": row,
        "number": number,
        "next": first + _ROWS_OF_BATCH if len(calls) > first + _ROWS_OF_BATCH else None,
        "total": len(calls),
    }
    template = "dashboard/replay/_batch_rows.html" if request.htmx else "dashboard/replay/batch.html"  # type: ignore[attr-defined]
    return render(request, template, context)


def _conversation(request: HttpRequest, trajectory: Trajectory | None) -> Conversation | None:
    if trajectory is None:
        return None
    return transcripts.read(trajectory, Window(first=whole_number(request, "from", default=1), weigh=weight))


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
    """Returns the keys of the batches whose calls are on the page: the first ones, as far as they fit."""
    left = _ROWS
    found = set()
    turns = conversation.turns if conversation else ()
    for batch in (batch for turn in turns for execution in turn.executions for batch in execution.batches):
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
