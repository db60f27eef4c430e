"""The preview beside a list: a rollout's outcome and numbers, and the beginnings of its answers and prompt."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from rlm_runs.analysis import transcripts

from ..query_params import rollout_or_404

_CHARS = 1_200


@require_safe
def preview(request: HttpRequest, pk: int) -> HttpResponse:
    """Shows a short preview of a rollout. It makes two queries, and reads the first characters of three texts."""
    rollout = rollout_or_404(pk)
    example = rollout.example
    digests = [example.prompt_id, example.answer_id, *([rollout.answer_id] if rollout.answer_id else [])]
    found = transcripts.excerpts(digests, chars=_CHARS)
    context = {
        "rollout": rollout,
        "prompt": found.get(example.prompt_id, transcripts.EMPTY),
        "gold": found.get(example.answer_id, transcripts.EMPTY),
        "given": found.get(rollout.answer_id or ""),
    }
    return render(request, "dashboard/rollouts/preview.html", context)
