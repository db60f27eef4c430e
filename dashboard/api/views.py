"""The JSON counterparts of single-object pages: an experiment with its arms, a rollout with its trace."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_safe

from rlm_runs.analysis import aggregates, transcripts
from rlm_runs.analysis.transcripts import Excerpt
from rlm_runs.execution.circuits import store
from rlm_runs.experiments.remaining import budget_standing
from rlm_runs.models import Execution, Experiment, LiveView, Rollout, Trajectory, Turn
from rlm_runs.models.review import REVIEW_COLUMNS
from rlm_runs.models.texts import unescape, unstorable

from .. import early_stopping
from ..permissions import sees_experiment, share_of
from ..query_params import rollout_or_404
from ..tables import exports
from ..tables.rollouts import ROLLOUTS, rows

_MOST_TURNS = 150
_MOST_CHARS = 16_000
"""The maximum length of all texts together, in characters. Each is cut to its share."""
_LONGEST = 2_000
"""The maximum length of one string, in characters."""
_MOST_OF_ERROR = 300


@require_safe
def experiment(request: HttpRequest, slug: str) -> HttpResponse:
    """Returns an experiment, its progress, and its arms with their numbers."""
    found = get_object_or_404(Experiment, slug=slug)
    snapshot = aggregates.snapshot(found)
    progress = aggregates.snapshot_progress(snapshot)
    summary = aggregates.summary(snapshot)
    early = early_stopping.section(snapshot, summary)
    bill = aggregates.provider_bill(snapshot)
    answer = {
        "slug": found.slug,
        "name": unescape(found.name),
        "description": unescape(found.description),
        "created_at": found.created_at,
        "cancelled_at": found.cancelled_at,
        "paused_at": found.paused_at,
        "paused_by_budget": found.paused_by_budget,
        "budget": _budget(found),
        "circuits": _circuits(found),
        "priority": found.priority,
        "sources": found.sources,
        "progress": asdict(progress) | {"done": progress.done, "queued": progress.queued},
        "arms": [asdict(arm) for arm in summary.arms],
        "early_stopping": None if early is None else early_stopping.as_json(early),
        "provider_bill": bill and asdict(bill) | {"difference": bill.difference},
        "rollouts": reverse("api-experiment-rollouts", args=[found.slug]),
    }
    return JsonResponse(_plain(answer))


def _budget(found: Experiment) -> dict[str, Any] | None:
    """Returns each budget with its spent, remaining and expected amounts; None for an import."""
    if found.sources:
        return None
    standing = budget_standing(found)
    return {
        **{
            line.name: {"limit": line.limit, "spent": line.spent, "remaining": line.left, "rest": line.rest}
            for line in standing.lines
        },
        "rollouts_left": standing.rollouts_left,
        "unpriced_models": standing.unpriced,
        "unpriced_calls": standing.unpriced_calls,
    }


def _circuits(found: Experiment) -> list[dict[str, Any]]:
    """Returns the failing models, with the arms that wait for them."""
    circuits = store.open_circuits()
    waiting = store.waiting_arms(found, circuits)
    return [
        {
            "model": circuit.model,
            "error": unescape(circuit.error),
            "opened_at": circuit.opened_at,
            "next_try_at": circuit.probe_at,
            "arms": [arm.pk for arm in waiting[circuit.model]],
        }
        for circuit in circuits
        if circuit.model in waiting
    ]


@require_safe
def rollout(request: HttpRequest, pk: int) -> HttpResponse:
    """Returns a rollout's row, its metrics, and the tree of its last attempt. Truncated texts state their full
    length.

    The tree is flat: a sub-LLM's trajectory names the execution that called it as its `parent`.
    """
    row = rollout_or_404(pk)
    hidden = (REVIEW_COLUMNS if share_of(request) else set()) | (
        set() if sees_experiment(request) else {"experiment"}
    )
    columns = tuple(column for key, column in ROLLOUTS.columns.items() if key not in hidden)
    found = rows(Rollout.objects.filter(pk=pk), columns).get()
    answer = {
        "row": exports.json_row(columns, found),
        "metrics": row.metrics,
        "metadata": row.example.metadata,
        "attempt": row.attempt,
        **({"live": unstorable(live)} if (live := LiveView.objects.watch(row)) else {}),
        **_tree(row),
    }
    return JsonResponse(_plain(answer))


def _tree(rollout: Rollout) -> dict[str, Any]:
    """Returns the first turns of the attempt, in the order of the conversations, in four queries."""
    turns = list(
        Turn.objects.filter(trajectory__rollout=rollout, trajectory__attempt=rollout.attempt)
        .defer("usage")
        .order_by("trajectory", "index")[: _MOST_TURNS + 1]
    )
    kept = turns[:_MOST_TURNS]
    executions = list(
        Execution.objects.filter(turn__in=[turn.pk for turn in kept])
        .defer("variables")
        .order_by("turn", "position")
    )
    trajectories = rollout.attempt_trajectories().defer("tools").order_by("pk")[:_MOST_TURNS]
    texts = _texts(trajectories, kept, executions)
    steps, moves = defaultdict(list), defaultdict(list)
    for execution in executions:
        steps[execution.turn_id].append(_execution(execution, texts))
    for turn in kept:
        moves[turn.trajectory_id].append(_turn(turn, texts) | {"executions": steps[turn.pk]})
    return {
        "trajectories": [_trajectory(found, texts) | {"turns": moves[found.pk]} for found in trajectories],
        "is_cut": len(turns) > _MOST_TURNS or len(trajectories) == _MOST_TURNS,
    }


def _texts(
    trajectories: Iterable[Trajectory], turns: Iterable[Turn], executions: Iterable[Execution]
) -> Mapping[str, Excerpt]:
    digests = [message["text"] for found in trajectories for message in found.opening]
    digests += [found.answer_id for found in trajectories]
    for turn in turns:
        digests += [turn.content_id, turn.reasoning_id, turn.reply_id]
    for execution in executions:
        digests += [execution.arguments_id, execution.shown_id, execution.answer_id]
    known = [digest for digest in digests if digest]  # repeated as often as it is shown
    return transcripts.excerpts(known, chars=min(_LONGEST, _MOST_CHARS // max(len(known), 1)))


def _text(digest: str | None, texts: Mapping[str, Excerpt]) -> dict[str, Any] | None:
    if digest is None:
        return None
    excerpt = texts.get(digest, transcripts.EMPTY)
    return {"text": excerpt.text, "chars": excerpt.chars}


def _trajectory(found: Trajectory, texts: Mapping[str, Excerpt]) -> dict[str, Any]:
    fields = ("kind", "batch", "position", "depth", "model", "started_at", "finished_at", "stop_reason", "summary")
    return {
        "id": found.pk,
        "parent": found.parent_id,
        **_fields(found, fields),
        "error": unescape(found.error)[:_MOST_OF_ERROR],
        "opening": [
            {"role": message["role"], **(_text(message["text"], texts) or {})} for message in found.opening
        ],
        "answer": _text(found.answer_id, texts),
    }


def _turn(found: Turn, texts: Mapping[str, Excerpt]) -> dict[str, Any]:
    tokens = ("prompt_tokens", "cached_tokens", "cache_write_tokens", "completion_tokens", "reasoning_tokens")
    costs = ("cost", "price_version", "provider_cost")
    return {
        "number": found.index + 1,
        **_fields(found, (*tokens, *costs, "seconds", "ended_at", "finish_reason", "retries")),
        **_fields(found, ("first_token_seconds", "tokens_per_second", "tokens_estimated", "sent_tokens")),
        "failed_tries": [failed | {"message": unescape(failed["message"])} for failed in found.failed_tries],
        "error": unescape(found.error)[:_MOST_OF_ERROR],
        "content": _text(found.content_id, texts),
        "reasoning": _text(found.reasoning_id, texts),
        "reply": _text(found.reply_id, texts),
    }


def _execution(found: Execution, texts: Mapping[str, Excerpt]) -> dict[str, Any]:
    told = (
        "kind",
        "name",
        "seconds",
        "output_chars",
        "truncated",
        "timed_out",
        "state_lost",
        "finished",
        "ready",
        "repairs",
    )
    return {
        "id": found.pk,
        **_fields(found, told),
        "error": unescape(": ".join(filter(None, (found.error_type, found.error_message))))[:_MOST_OF_ERROR],
        "arguments": _text(found.arguments_id, texts),
        "shown": _text(found.shown_id, texts),
        "answer": _text(found.answer_id, texts),
    }


def _fields(found: Any, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(found, name) for name in names}


def _plain(value: Any) -> Any:
    """Returns the value in JSON types, with bounded strings."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value[:_LONGEST] if isinstance(value, str) else exports.json_value(value)
