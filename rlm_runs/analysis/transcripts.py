"""Transcripts: one trajectory of a rollout at a time, in a fixed number of queries.

A `Conversation` is a trajectory with its turns, their cells and tool calls, and one line for each sub-LLM that a
cell called. Each line opens to a conversation of its own, at any depth, so nothing here recurses. Only the
beginning of each text is read (`Excerpt`), so a line of a megabyte costs nothing until it is needed. `prompt_of`
returns the exact messages of a turn's model call.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import chain, groupby
from typing import Any

from django.db.models import Count, F, Q, Sum
from django.db.models.functions import Left

from ..models import Execution, Rollout, Text, Trajectory, Turn
from ..models.texts import digest, unescape

EXCERPT_CHARS = 12_000
"""Characters of one text on a page; somewhat more than the 8,192 that a model is shown of a cell."""
FIRST_LINE_CHARS = 200
_CODE_COUNTS = 3
"""Weight of code relative to text, for the marks of its tokens."""

_NO_ANSWER = digest("")
_HALF_ESCAPE = re.compile("\x1a[0-9a-f]{0,3}$")
_OPEN_CODE = re.compile(r'\s*\{\s*"code"\s*:\s*"')


@dataclass(frozen=True)
class Excerpt:
    """The beginning of a text, and how long all of it is."""

    text: str
    chars: int

    @property
    def is_cut(self) -> bool:
        """Whether the text is longer."""
        return len(self.text) < self.chars

    @property
    def first_line(self) -> str:
        """The first line that says something."""
        return next((line.strip() for line in self.text.splitlines() if line.strip()), "")[:FIRST_LINE_CHARS]

    def cut(self, chars: int) -> Excerpt:
        """Returns at most this many characters of it."""
        return Excerpt(text=self.text[:chars], chars=self.chars)


EMPTY = Excerpt(text="", chars=0)


@dataclass(frozen=True)
class SubCall:
    """One sub-LLM of a batch, in one line. `summary` is all that is known of one from an import without its
    texts.
    """

    pk: int
    batch: int
    position: int
    model: str
    stop_reason: str
    error: str
    answer: Excerpt
    started_at: datetime
    finished_at: datetime | None
    turns: int
    prompt_tokens: int
    completion_tokens: int
    cost: Decimal | None
    summary: Mapping[str, Any] | None = None

    @property
    def is_finished(self) -> bool:
        """Whether it returned; false while it runs, and forever if its worker died."""
        return self.finished_at is not None

    @property
    def seconds(self) -> float | None:
        """Its duration."""
        return (self.finished_at - self.started_at).total_seconds() if self.finished_at else None

    @property
    def tokens(self) -> int:
        """Prompt and completion."""
        return self.summary["tokens"] if self.summary else self.prompt_tokens + self.completion_tokens

    @property
    def is_ok(self) -> bool:
        """Whether it returned a regular answer."""
        return self.is_finished and not self.error and self.stop_reason not in _TROUBLE


_TROUBLE = frozenset(
    {
        *("max_turns", "no_tool_call", "prompt_too_long", "cancelled", "abandoned", "deadline"),
        *("budget_tokens", "budget_dollars", "budget_sub_calls"),
    }
)
"""Stop reasons of a sub-LLM without a regular answer, even if there is no error."""


@dataclass(frozen=True)
class Batch:
    """The sub-LLMs that one `llm_batch` started. `key` names it on a page."""

    key: str
    index: int
    calls: tuple[SubCall, ...]

    @property
    def seconds(self) -> float | None:
        """Seconds from the first call's start to the last one's end; None while one runs, or if none is known."""
        if any(call.summary for call in self.calls):
            return None
        ends = [call.finished_at for call in self.calls if call.finished_at]
        if len(ends) < len(self.calls):
            return None
        return (max(ends) - min(call.started_at for call in self.calls)).total_seconds()

    @property
    def troubled(self) -> int:
        """Calls that ended in something else than an answer."""
        return sum(call.is_finished and not call.is_ok for call in self.calls)

    @property
    def tokens(self) -> int:
        """Prompt and completion of all calls."""
        return sum(call.tokens for call in self.calls)

    @property
    def unfinished(self) -> int:
        """Calls that run, or were cut off."""
        return sum(not call.is_finished for call in self.calls)


@dataclass(frozen=True)
class Step:
    """A cell or a tool call. `row` has its numbers and marks, the excerpts its words.

    `answer` is the `answer` dict's content where this cell changed it (or made it ready), else None.
    """

    row: Execution
    number: int
    code: Excerpt
    is_malformed: bool
    shown: Excerpt
    out: Excerpt | None
    answer: Excerpt | None
    batches: tuple[Batch, ...]

    @property
    def is_cell(self) -> bool:
        """A REPL cell, not a tool call."""
        return self.row.kind == Execution.Kind.CELL


@dataclass(frozen=True)
class Move:
    """One turn: the model's message and its executions. `number` counts from 1."""

    row: Turn
    number: int
    content: Excerpt
    reasoning: Excerpt | None
    reply: Excerpt | None
    steps: tuple[Step, ...]

    @property
    def is_troubled(self) -> bool:
        """Whether a part of it failed."""
        return bool(self.row.error) or any(_went_wrong(step.row) for step in self.steps)

    @property
    def is_ready(self) -> bool:
        """Whether a cell of it declared the answer ready."""
        return any(step.row.ready for step in self.steps)

    @property
    def sub_calls(self) -> int:
        """Sub-LLMs called in it."""
        return sum(len(batch.calls) for step in self.steps for batch in step.batches)


@dataclass(frozen=True)
class OpeningMessage:
    """One of the messages that open a conversation."""

    index: int
    role: str
    text: Excerpt


@dataclass(frozen=True)
class OutlineEntry:
    """One line of the outline."""

    number: int
    gist: str
    seconds: float
    is_troubled: bool
    is_ready: bool


@dataclass(frozen=True)
class Conversation:
    """A trajectory as it is read. `first` is the number of the first of its `moves` that are here."""

    row: Trajectory
    opening: tuple[OpeningMessage, ...]
    moves: tuple[Move, ...]
    outline: tuple[OutlineEntry, ...]
    first: int
    answer: Excerpt | None

    @property
    def last(self) -> int:
        """The number of the last of its moves that are here."""
        return self.first + len(self.moves) - 1

    @property
    def total(self) -> int:
        """Turns of all of it."""
        return len(self.outline)


def root_of(rollout: Rollout, *, attempt: int) -> Trajectory | None:
    """The root's trajectory of an attempt; None before its first event, and for imports without a transcript."""
    return rollout.trajectories.filter(attempt=attempt, kind=Trajectory.Kind.ROOT).first()


def version_of(trajectory: Trajectory) -> str:
    """Changes with every event of a conversation: what a live page compares. Three queries, and no text."""
    executions = Execution.objects.filter(turn__trajectory=trajectory)
    steps = executions.aggregate(all=Count("id"), ended=Count("id", filter=Q(finished=True)))
    calls = Trajectory.objects.filter(parent__turn__trajectory=trajectory).aggregate(
        all=Count("id"), ended=Count("id", filter=Q(finished_at__isnull=False))
    )
    state = (trajectory.turns.count(), trajectory.finished_at, *steps.values(), *calls.values())
    return hashlib.sha256(repr(state).encode()).hexdigest()[:16]


def judges_of(rollout: Rollout, *, attempt: int) -> list[Trajectory]:
    """The conversations in which the answer of an attempt was judged."""
    found = rollout.trajectories.filter(attempt=attempt, kind=Trajectory.Kind.JUDGE)
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
    """The part of the conversation that the window shows. Six queries, however long it is."""
    turns = list(trajectory.turns.order_by("index"))
    page = turns[window.first - 1 : window.first - 1 + window.limit]
    executions = _executions(trajectory)
    calls = _sub_calls([execution.pk for turn in page for execution in executions.get(turn.pk, ())])
    gists = _gists(turns, executions)
    words = _words(trajectory, page, executions, window)
    steps = _steps(turns, executions, calls, words)
    return Conversation(
        row=trajectory,
        opening=tuple(
            OpeningMessage(index=index, role=message["role"], text=words.get(message["text"], EMPTY))
            for index, message in enumerate(trajectory.opening)
        ),
        moves=tuple(_move(turn, steps[turn.pk], words) for turn in page),
        outline=tuple(_outline_entry(turn, executions.get(turn.pk, ()), gists[turn.pk]) for turn in turns),
        first=window.first,
        answer=words.get(trajectory.answer_id) if trajectory.answer_id else None,
    )


def _executions(trajectory: Trajectory) -> dict[int, list[Execution]]:
    """Turn → its cells and tool calls, in order."""
    found: dict[int, list[Execution]] = defaultdict(list)
    rows = Execution.objects.filter(turn__trajectory=trajectory).order_by("turn__index", "position")
    for execution in rows.defer("variables"):
        found[execution.turn_id].append(execution)
    return found


def _sub_calls(executions: Sequence[int]) -> dict[int, list[SubCall]]:
    """Execution → the sub-LLMs that it called, in order."""
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
    """All sub-LLMs that one `llm_batch` of a cell called, in order. One query."""
    calls = _sub_calls([execution.pk]).get(execution.pk, ())
    return tuple(call for call in calls if call.batch == number)


def _sub_call(row: Any) -> SubCall:
    return SubCall(
        pk=row.pk,
        batch=row.batch or 0,
        position=row.position or 0,
        model=row.model,
        stop_reason=row.stop_reason,
        error=row.error,
        answer=_excerpt(row.answer_start or "", row.answer_chars or 0),
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


def _words(
    trajectory: Trajectory,
    page: Sequence[Turn],
    executions: Mapping[int, Sequence[Execution]],
    window: Window,
) -> dict[str, Excerpt]:
    """The beginnings of all texts of these turns, within the window's budget."""
    digests: list[str | None] = [trajectory.answer_id, *(message["text"] for message in trajectory.opening)]
    for turn in page:
        digests += [turn.content_id, turn.reasoning_id, turn.reply_id]
        for execution in executions.get(turn.pk, ()):
            digests += [execution.shown_id, execution.out_id, execution.answer_id]
            digests += [execution.arguments_id] * _CODE_COUNTS
    uses = Counter(key for key in digests if key)
    return _within(window, excerpts(uses, chars=EXCERPT_CHARS), uses)


def _within(window: Window, found: Mapping[str, Excerpt], uses: Mapping[str, int]) -> dict[str, Excerpt]:
    """All cut to the greatest length at which they fit; nothing is cut where they fit as they are."""
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


def excerpts(digests: Iterable[str], *, chars: int) -> dict[str, Excerpt]:
    """Returns digest → the beginning of its text. One query, which reads at most this many characters of each."""
    rows = Text.objects.filter(sha256__in=set(digests)).annotate(start=Left("body", chars))
    return {key: _excerpt(start, total) for key, start, total in rows.values_list("sha256", "start", "chars")}


def _excerpt(start: str, chars: int) -> Excerpt:
    """An excerpt of an escaped body; a half escape at its end is dropped."""
    return Excerpt(text=unescape(_HALF_ESCAPE.sub("", start)), chars=chars)


def _gists(turns: Sequence[Turn], executions: Mapping[int, Sequence[Execution]]) -> dict[int, str]:
    """Turn → its summary in a few words, the model's first, else the code's."""
    first = {turn.pk: executions[turn.pk][0].arguments_id for turn in turns if executions.get(turn.pk)}
    starts = excerpts({*(turn.content_id for turn in turns), *first.values()}, chars=4 * FIRST_LINE_CHARS)
    found = {}
    for turn in turns:
        said = starts.get(turn.content_id, EMPTY).first_line
        code, _ = code_of(starts.get(first.get(turn.pk, ""), EMPTY))
        found[turn.pk] = said or code.first_line or ("error" if turn.error else "no words")
    return found


def _outline_entry(turn: Turn, executions: Sequence[Execution], gist: str) -> OutlineEntry:
    return OutlineEntry(
        number=turn.index + 1,
        gist=gist,
        seconds=turn.seconds + sum(execution.seconds or 0 for execution in executions),
        is_troubled=bool(turn.error) or any(map(_went_wrong, executions)),
        is_ready=any(execution.ready for execution in executions),
    )


def _went_wrong(execution: Execution) -> bool:
    return bool(execution.error_type or execution.timed_out or execution.state_lost)


def _steps(
    turns: Sequence[Turn],
    executions: Mapping[int, Sequence[Execution]],
    calls: Mapping[int, Sequence[SubCall]],
    words: Mapping[str, Excerpt],
) -> dict[int, tuple[Step, ...]]:
    """Turn → its steps. Cells are numbered through the conversation; an answer shows where it changed."""
    found = {}
    cells = 0
    answer: tuple[str | None, bool] = (None, False)
    for turn in turns:
        steps = []
        for row in executions.get(turn.pk, ()):
            cells += row.kind == Execution.Kind.CELL
            after = (row.answer_id, bool(row.ready)) if row.answer_id else answer
            changed = after != answer and after != (_NO_ANSWER, False)
            answer = after
            steps.append(_step(row, cells, _batches(row, calls.get(row.pk, ())), words, answer_changed=changed))
        found[turn.pk] = tuple(steps)
    return found


def _step(
    row: Execution, number: int, batches: tuple[Batch, ...], words: Mapping[str, Excerpt], *, answer_changed: bool
) -> Step:
    arguments = words.get(row.arguments_id, EMPTY)
    code, is_malformed = code_of(arguments) if row.kind == Execution.Kind.CELL else (arguments, False)
    return Step(
        row=row,
        number=number,
        code=code,
        is_malformed=is_malformed,
        shown=words.get(row.shown_id or "", EMPTY),
        out=words.get(row.out_id) if row.out_id else None,
        answer=words.get(row.answer_id) if row.answer_id and answer_changed else None,
        batches=batches,
    )


def _move(turn: Turn, steps: tuple[Step, ...], words: Mapping[str, Excerpt]) -> Move:
    return Move(
        row=turn,
        number=turn.index + 1,
        content=words.get(turn.content_id, EMPTY),
        reasoning=words.get(turn.reasoning_id) if turn.reasoning_id else None,
        reply=words.get(turn.reply_id) if turn.reply_id else None,
        steps=steps,
    )


def code_of(arguments: Excerpt) -> tuple[Excerpt, bool]:
    """The source in a cell's JSON arguments, and whether they are malformed (then it is the arguments themselves).

    Arguments that were cut are read as far as they go.
    """
    try:
        code = json.loads(arguments.text + ('"}' if arguments.is_cut else ""))["code"]
    except (ValueError, TypeError, KeyError):
        if arguments.is_cut and (found := _OPEN_CODE.match(arguments.text)):
            return Excerpt(text=_loosely_decoded(arguments.text[found.end() :]), chars=arguments.chars), False
        return arguments, True
    if not isinstance(code, str):
        return arguments, True
    return Excerpt(text=code, chars=arguments.chars if arguments.is_cut else len(code)), False


def _loosely_decoded(literal: str) -> str:
    """The inside of a JSON string that was cut somewhere, perhaps in the middle of an escape."""
    for end in range(len(literal), max(len(literal) - 12, 0), -1):
        try:
            return str(json.loads(f'"{literal[:end]}"', strict=False))
        except ValueError:
            continue
    return literal


def prompt_of(turn: Turn) -> list[dict[str, Any]]:
    """Returns the messages of a turn's model call, derived from the trace. Three queries.

    They are the trajectory's opening, then each earlier turn's completion with its tool calls, their results, and
    the host's reply if there was one. A call that ended in an error left nothing in the conversation.
    """
    trajectory = turn.trajectory
    earlier = list(trajectory.turns.filter(index__lt=turn.index, error="").order_by("index"))
    executions: dict[int, list[Execution]] = defaultdict(list)
    for execution in Execution.objects.filter(turn__in=earlier).order_by("turn__index", "position"):
        executions[execution.turn_id].append(execution)
    digests = {message["text"] for message in trajectory.opening}
    for past in earlier:
        digests |= {past.content_id, past.reply_id}
    for row in chain.from_iterable(executions.values()):
        digests |= {row.arguments_id, row.shown_id}
    texts = Text.objects.read(key for key in digests if key)
    messages: list[dict[str, Any]] = [
        {"role": message["role"], "content": texts[message["text"]]} for message in trajectory.opening
    ]
    for past in earlier:
        messages += _messages_of(past, executions.get(past.pk, ()), texts)
    return messages


def _messages_of(
    turn: Turn, executions: Sequence[Execution], texts: Mapping[str, str]
) -> Iterable[dict[str, Any]]:
    said: dict[str, Any] = {"role": "assistant", "content": texts[turn.content_id]}
    if executions:
        said["tool_calls"] = [_tool_call(row, texts) for row in executions]
    yield said
    for row in executions:
        yield {
            "role": "tool",
            "tool_call_id": unescape(row.call_id),
            "content": texts[row.shown_id] if row.shown_id else "",
        }
    if turn.reply_id:
        yield {"role": "user", "content": texts[turn.reply_id]}


def _tool_call(row: Execution, texts: Mapping[str, str]) -> dict[str, Any]:
    function = {"name": unescape(row.name), "arguments": texts[row.arguments_id]}
    return {"id": unescape(row.call_id), "type": "function", "function": function}
