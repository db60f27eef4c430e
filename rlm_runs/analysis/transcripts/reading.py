"""Reads a trajectory as a conversation, in a fixed number of queries for any length."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from django.db.models import Count, F, Q, Sum
from django.db.models.functions import Left

from ...models import Execution, Rollout, Trajectory, Turn
from ...models.texts import digest
from .conversation import (
    Batch,
    Conversation,
    ExecutionView,
    OpeningMessage,
    OutlineEntry,
    SubCall,
    TurnView,
    has_failed,
)
from .excerpts import EMPTY, EXCERPT_CHARS, FIRST_LINE_CHARS, Excerpt, code_of, excerpt_of, excerpts

_CODE_COUNTS = 3
"""The weight of code relative to text, which accounts for the markup of its tokens."""
_NO_ANSWER = digest("")


def root_of(rollout: Rollout, *, attempt: int) -> Trajectory | None:
    """Returns the root's trajectory of an attempt; None before its first event, and for imports without a
    transcript.
    """
    return rollout.trajectories.filter(attempt=attempt, kind=Trajectory.Kind.ROOT).first()


def version_of(trajectory: Trajectory) -> str:
    """Returns a hash that changes with every event of a conversation, for live pages. Three queries, no text."""
    executions = Execution.objects.filter(turn__trajectory=trajectory)
    steps = executions.aggregate(all=Count("id"), ended=Count("id", filter=Q(finished=True)))
    calls = Trajectory.objects.filter(parent__turn__trajectory=trajectory).aggregate(
        all=Count("id"), ended=Count("id", filter=Q(finished_at__isnull=False))
    )
    state = (trajectory.turns.count(), trajectory.finished_at, *steps.values(), *calls.values())
    return hashlib.sha256(repr(state).encode()).hexdigest()[:16]


def judges_of(rollout: Rollout, *, attempt: int) -> list[Trajectory]:
    """Returns the conversations that judged the answer of an attempt when it ended."""
    found = rollout.trajectories.filter(attempt=attempt, kind=Trajectory.Kind.JUDGE, rescoring=None)
    return list(found.defer("opening", "tools").order_by("pk"))


@dataclass(frozen=True)
class Window:
    """The part of a conversation to read: `limit` turns from turn `first` on, and the amount of their text.

    `budget` bounds the sum of `weigh(text)` over all excerpts. The longest are cut first, all to one length.
    """

    first: int = 1
    limit: int = 30
    budget: int = 90_000
    weigh: Callable[[str], int] = len


def read(trajectory: Trajectory, window: Window = Window()) -> Conversation:
    """Returns the part of the conversation in the window. Six queries for any length."""
    turns = list(trajectory.turns.order_by("index"))
    page = turns[window.first - 1 : window.first - 1 + window.limit]
    executions = _executions(trajectory)
    calls = sub_calls_of([execution.pk for turn in page for execution in executions.get(turn.pk, ())])
    gists = _gists(turns, executions)
    texts = _texts(trajectory, page, executions, window)
    views = execution_views(turns, executions, calls, texts)
    return Conversation(
        row=trajectory,
        opening=tuple(
            OpeningMessage(index=index, role=message["role"], text=texts.get(message["text"], EMPTY))
            for index, message in enumerate(trajectory.opening)
        ),
        turns=tuple(turn_view(turn, views[turn.pk], texts) for turn in page),
        outline=tuple(outline_entry(turn, executions.get(turn.pk, ()), gists[turn.pk]) for turn in turns),
        first=window.first,
        answer=texts.get(trajectory.answer_id) if trajectory.answer_id else None,
    )


def _executions(trajectory: Trajectory) -> dict[int, list[Execution]]:
    """Returns a map of turn → its cells and tool calls, in order."""
    found: dict[int, list[Execution]] = defaultdict(list)
    rows = Execution.objects.filter(turn__trajectory=trajectory).order_by("turn__index", "position")
    for execution in rows.defer("variables"):
        found[execution.turn_id].append(execution)
    return found


def sub_calls_of(executions: Sequence[int]) -> dict[int, list[SubCall]]:
    """Returns a map of execution → the sub-LLMs that it called, in order."""
    rows = (
        Trajectory.objects.filter(parent__in=executions)
        .defer("opening", "tools")
        .annotate(
            turn_count=Count("turns"),
            prompt_sum=Sum("turns__prompt_tokens", default=0),
            completion_sum=Sum("turns__completion_tokens", default=0),
            cost_sum=Sum("turns__cost"),
            unpriced=Count("turns", filter=Q(turns__cost=None)),
            answer_start=Left(F("answer__body"), 2 * FIRST_LINE_CHARS),
            answer_chars=F("answer__chars"),
        )
        .order_by("parent", "batch", "position")
    )
    found: dict[int, list[SubCall]] = defaultdict(list)
    for row in rows:
        assert row.parent_id is not None
        found[row.parent_id].append(_sub_call(row))
    return found


def batch_of(execution: Execution, number: int) -> tuple[SubCall, ...]:
    """Returns all sub-LLMs that one `llm_batch` of a cell called, in order. One query."""
    calls = sub_calls_of([execution.pk]).get(execution.pk, ())
    return tuple(call for call in calls if call.batch == number)


def _sub_call(row: Any) -> SubCall:
    return SubCall(
        pk=row.pk,
        batch=row.batch or 0,
        position=row.position or 0,
        model=row.model,
        stop_reason=row.stop_reason,
        error=row.error,
        answer=excerpt_of(row.answer_start or "", row.answer_chars or 0),
        started_at=row.started_at,
        finished_at=row.finished_at,
        turns=row.turn_count,
        prompt_tokens=row.prompt_sum,
        completion_tokens=row.completion_sum,
        cost=None if row.unpriced else row.cost_sum,
        summary=row.summary,
    )


def _batches(execution: Execution, calls: Iterable[SubCall]) -> tuple[Batch, ...]:
    return tuple(
        Batch(key=f"{execution.pk}-{index}", index=index, calls=tuple(group))
        for index, group in groupby(calls, key=lambda call: call.batch)
    )


def _texts(
    trajectory: Trajectory,
    page: Sequence[Turn],
    executions: Mapping[int, Sequence[Execution]],
    window: Window,
) -> dict[str, Excerpt]:
    """Returns the beginnings of all texts of these turns, within the window's budget."""
    digests: list[str | None] = [trajectory.answer_id, *(message["text"] for message in trajectory.opening)]
    for turn in page:
        digests += [turn.content_id, turn.reasoning_id, turn.reply_id]
        for execution in executions.get(turn.pk, ()):
            digests += [execution.shown_id, execution.out_id, execution.answer_id]
            digests += [execution.arguments_id] * _CODE_COUNTS
    uses = Counter(key for key in digests if key)
    return _fit_texts(window, excerpts(uses, chars=EXCERPT_CHARS), uses)


def _fit_texts(window: Window, found: Mapping[str, Excerpt], uses: Mapping[str, int]) -> dict[str, Excerpt]:
    """Returns all texts cut to the greatest length at which they fit; unchanged if they fit as they are."""
    weights = {key: window.weigh(excerpt.text) for key, excerpt in found.items()}
    shares = sorted((weight, uses[key]) for key, weight in weights.items())
    left, waiting = window.budget, sum(uses[key] for key in found)
    cap = None
    for weight, times in shares:
        if weight * waiting > left:
            cap = left // waiting
            break
        left, waiting = left - weight * times, waiting - times
    if cap is None:
        return dict(found)
    return {
        key: excerpt if weights[key] <= cap else excerpt.cut(len(excerpt.text) * cap // weights[key])
        for key, excerpt in found.items()
    }


def _gists(turns: Sequence[Turn], executions: Mapping[int, Sequence[Execution]]) -> dict[int, str]:
    """Returns a map of turn → its summary in a few words, from the model's message, else from the code."""
    first = {turn.pk: executions[turn.pk][0].arguments_id for turn in turns if executions.get(turn.pk)}
    starts = excerpts({*(turn.content_id for turn in turns), *first.values()}, chars=4 * FIRST_LINE_CHARS)
    found = {}
    for turn in turns:
        said = starts.get(turn.content_id, EMPTY).first_line
        code, _ = code_of(starts.get(first.get(turn.pk, ""), EMPTY))
        found[turn.pk] = said or code.first_line or ("error" if turn.error else "no words")
    return found


def outline_entry(turn: Turn, executions: Sequence[Execution], gist: str) -> OutlineEntry:
    return OutlineEntry(
        number=turn.index + 1,
        gist=gist,
        seconds=turn.seconds + sum(execution.seconds or 0 for execution in executions),
        is_troubled=bool(turn.error) or any(map(has_failed, executions)),
        is_ready=any(execution.ready for execution in executions),
    )


def execution_views(
    turns: Sequence[Turn],
    executions: Mapping[int, Sequence[Execution]],
    calls: Mapping[int, Sequence[SubCall]],
    texts: Mapping[str, Excerpt],
) -> dict[int, tuple[ExecutionView, ...]]:
    """Returns a map of turn → its executions. Cells are numbered through the conversation.

    An execution has an `answer` only where it changed.
    """
    found = {}
    cells = 0
    answer: tuple[str | None, bool] = (None, False)
    for turn in turns:
        views = []
        for row in executions.get(turn.pk, ()):
            cells += row.kind == Execution.Kind.CELL
            after = (row.answer_id, bool(row.ready)) if row.answer_id else answer
            changed = after != answer and after != (_NO_ANSWER, False)
            answer = after
            views.append(
                _execution_view(row, cells, _batches(row, calls.get(row.pk, ())), texts, answer_changed=changed)
            )
        found[turn.pk] = tuple(views)
    return found


def _execution_view(
    row: Execution, number: int, batches: tuple[Batch, ...], texts: Mapping[str, Excerpt], *, answer_changed: bool
) -> ExecutionView:
    arguments = texts.get(row.arguments_id, EMPTY)
    code, is_malformed = code_of(arguments) if row.kind == Execution.Kind.CELL else (arguments, False)
    return ExecutionView(
        row=row,
        number=number,
        code=code,
        is_malformed=is_malformed,
        shown=texts.get(row.shown_id or "", EMPTY),
        out=texts.get(row.out_id) if row.out_id else None,
        answer=texts.get(row.answer_id) if row.answer_id and answer_changed else None,
        batches=batches,
    )


def turn_view(turn: Turn, views: tuple[ExecutionView, ...], texts: Mapping[str, Excerpt]) -> TurnView:
    return TurnView(
        row=turn,
        number=turn.index + 1,
        content=texts.get(turn.content_id, EMPTY),
        reasoning=texts.get(turn.reasoning_id) if turn.reasoning_id else None,
        reply=texts.get(turn.reply_id) if turn.reply_id else None,
        executions=views,
    )
