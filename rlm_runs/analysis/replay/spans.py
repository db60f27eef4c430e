"""Spans: an attempt as a tree of intervals with tokens and dollars, for the timeline and the flame graph.

The tree is rollout → turn → cell or tool call → batch → sub-call → turn → …. A sub-LLM that ran no code is one
span.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Any, NamedTuple

from ...models import Execution, Rollout, Trajectory, Turn
from ...models.texts import unescape

_LABEL_CHARS = 60


@dataclass(frozen=True)
class Span:
    """One interval. `start` is in seconds since the attempt's first event; `parent` is an index, None at the top.

    `tokens` (prompt and completion) and `dollars` belong to the span itself, without its children; None means
    unknown. `turn` is the number, from 1, of the root's turn that it belongs to, 0 for none. `key` names it in
    URLs.
    """

    key: str
    parent: int | None
    kind: str
    label: str
    start: float
    seconds: float
    turn: int
    tokens: int | None = 0
    dollars: Decimal | None = Decimal(0)
    is_failed: bool = False
    is_running: bool = False

    @property
    def end(self) -> float:
        """The end of the span, in seconds since the attempt's first event."""
        return self.start + self.seconds


@dataclass(frozen=True)
class SpanTree:
    """The spans of an attempt, each after its parent. `began` is the time of second 0."""

    began: datetime
    seconds: float
    spans: tuple[Span, ...]

    def children(self) -> Mapping[int, Sequence[int]]:
        """Returns a map of index → the indices of its children."""
        found: dict[int, list[int]] = defaultdict(list)
        for index, span in enumerate(self.spans):
            if span.parent is not None:
                found[span.parent].append(index)
        return found


def read(rollout: Rollout, *, attempt: int, now: datetime) -> SpanTree | None:
    """Returns the spans of an attempt; None without a trace, or for an import without times. Three queries.

    Running spans end `now`.
    """
    rows = _Rows.of(rollout, attempt=attempt)
    roots = [row for row in rows.trajectories.values() if row.parent_id is None]
    if not roots or not rows.has_times:
        return None
    began = min(row.started_at for row in roots)
    began = min([began, *(rows.start_of(turn) for row in roots for turn in rows.turns[row.pk])])
    builder = _Builder(rows, began=began, now=now)
    return builder.tree(roots)


# Rows as tuples: model instances of five thousand calls would take most of a second.
class _Trajectory(NamedTuple):
    pk: int
    kind: str
    parent_id: int | None
    batch: int | None
    position: int | None
    started_at: datetime
    finished_at: datetime | None
    error: str
    summary: Any


class _Turn(NamedTuple):
    pk: int
    trajectory_id: int
    place: int
    ended_at: datetime
    seconds: float
    prompt_tokens: int | None
    completion_tokens: int | None
    cost: Decimal | None
    error: str


class _Execution(NamedTuple):
    pk: int
    turn_id: int
    turn__trajectory_id: int
    kind: str
    name: str
    started_at: datetime
    seconds: float | None
    error_type: str
    timed_out: bool
    finished: bool


@dataclass(frozen=True)
class _Rows:
    trajectories: Mapping[int, _Trajectory]
    turns: Mapping[int, Sequence[_Turn]]
    executions: Mapping[int, Sequence[_Execution]]
    calls: Mapping[int, Sequence[_Trajectory]]

    @classmethod
    def of(cls, rollout: Rollout, *, attempt: int) -> _Rows:
        of_attempt = {"trajectory__rollout": rollout, "trajectory__attempt": attempt}
        of_turn = {f"turn__{name}": value for name, value in of_attempt.items()}
        turns: dict[int, list[_Turn]] = defaultdict(list)
        columns = [name.replace("place", "index") for name in _Turn._fields]
        found = Turn.objects.filter(**of_attempt).order_by("index").values_list(*columns)
        for turn in map(_Turn._make, found):
            turns[turn.trajectory_id].append(turn)
        executions: dict[int, list[_Execution]] = defaultdict(list)
        ran = Execution.objects.filter(**of_turn).order_by("position").values_list(*_Execution._fields)
        for execution in map(_Execution._make, ran):
            executions[execution.turn_id].append(execution)
        calls: dict[int, list[_Trajectory]] = defaultdict(list)
        rows = rollout.trajectories.filter(attempt=attempt).order_by("batch", "position", "pk")
        trajectories = {row.pk: row for row in map(_Trajectory._make, rows.values_list(*_Trajectory._fields))}
        for row in trajectories.values():
            if row.parent_id is not None and row.summary is None:
                calls[row.parent_id].append(row)
        return cls(trajectories, turns, executions, calls)

    @property
    def has_times(self) -> bool:
        """Whether the trace was recorded live; an import has only its texts."""
        return any(turn.seconds > 0 for turns in self.turns.values() for turn in turns)

    @staticmethod
    def start_of(turn: _Turn) -> datetime:
        return turn.ended_at - timedelta(seconds=turn.seconds)


@dataclass
class _Builder:
    rows: _Rows
    began: datetime
    now: datetime
    spans: list[Span] = field(default_factory=list)
    cells: Counter[int] = field(default_factory=Counter)
    """Conversation → its cells so far, for their numbers."""

    def tree(self, roots: Sequence[_Trajectory]) -> SpanTree:
        """Builds the tree with an explicit stack, because a trace may nest deeper than Python's recursion
        limit.
        """
        self.spans.append(Span("rollout", None, "rollout", "rollout", 0.0, 0.0, 0))
        stack = [self._conversation(row, parent=0, turn=0) for row in roots]
        while stack:
            following = next(stack[-1], None)
            if following is None:
                stack.pop()
            else:
                stack.append(following)
        seconds = max(span.end for span in self.spans)
        self.spans[0] = Span("rollout", None, "rollout", "rollout", 0.0, seconds, 0)
        return SpanTree(self.began, seconds, tuple(self.spans))

    def _conversation(self, row: _Trajectory, *, parent: int, turn: int) -> Iterator[Iterator[Any]]:
        kind = "judge" if row.kind == Trajectory.Kind.JUDGE else "turn"
        for each in self.rows.turns[row.pk]:
            number = each.place + 1 if row.kind == Trajectory.Kind.ROOT else turn
            label = "judge" if kind == "judge" else f"turn {each.place + 1}"
            executions = self.rows.executions[each.pk]
            place = self._add_turn(each, kind=kind, label=label, parent=parent, turn=number, executions=executions)
            for execution in executions:
                yield self._execution(execution, parent=place, turn=number)

    def _add_turn(
        self,
        row: _Turn,
        *,
        kind: str,
        label: str,
        parent: int,
        turn: int,
        executions: Sequence[_Execution],
    ) -> int:
        start = self._since(self.rows.start_of(row))
        ends = [self._since(each.started_at) + self._seconds(each) for each in executions]
        container = self._add(
            Span(f"turn-{row.pk}", parent, kind, label, start, max([start + row.seconds, *ends]) - start, turn)
        )
        self._add(
            Span(
                f"model-{row.pk}",
                container,
                "model",
                "model call",
                start,
                row.seconds,
                turn,
                tokens=_tokens(row),
                dollars=row.cost,
                is_failed=bool(row.error),
            )
        )
        return container

    def _execution(self, row: _Execution, *, parent: int, turn: int) -> Iterator[Iterator[Any]]:
        is_cell = row.kind == Execution.Kind.CELL
        conversation = row.turn__trajectory_id
        self.cells[conversation] += is_cell
        label = f"In[{self.cells[conversation]}]" if is_cell else unescape(row.name)[:_LABEL_CHARS]
        place = self._add(
            Span(
                f"execution-{row.pk}",
                parent,
                "cell" if is_cell else "tool",
                label,
                self._since(row.started_at),
                self._seconds(row),
                turn,
                is_failed=bool(row.error_type or row.timed_out),
                is_running=not row.finished,
            )
        )
        for number, calls in groupby(self.rows.calls[row.pk], key=lambda call: call.batch or 0):
            of_batch = list(calls)
            batch = self._add_batch(row, number, of_batch, parent=place, turn=turn)
            for call in of_batch:
                yield from self._sub_call(call, parent=batch, turn=turn)

    def _add_batch(
        self, row: _Execution, number: int, calls: Sequence[_Trajectory], *, parent: int, turn: int
    ) -> int:
        start = min(self._since(call.started_at) for call in calls)
        end = max(self._end_of(call) for call in calls)
        label = f"batch of {len(calls)}"
        return self._add(Span(f"batch-{row.pk}-{number}", parent, "batch", label, start, end - start, turn))

    def _sub_call(self, row: _Trajectory, *, parent: int, turn: int) -> Iterator[Iterator[Any]]:
        turns = self.rows.turns[row.pk]
        nests = any(self.rows.executions[each.pk] for each in turns)
        start = self._since(row.started_at)
        place = self._add(
            Span(
                f"call-{row.pk}",
                parent,
                "sub_call",
                f"sub-LLM [{row.position or 0}]",
                start,
                self._end_of(row) - start,
                turn,
                tokens=0 if nests else _sum(map(_tokens, turns)),
                dollars=Decimal(0) if nests else _sum(each.cost for each in turns),
                is_failed=bool(row.error),
                is_running=row.finished_at is None,
            )
        )
        if nests:
            yield self._conversation(row, parent=place, turn=turn)

    def _add(self, span: Span) -> int:
        self.spans.append(span)
        return len(self.spans) - 1

    def _since(self, at: datetime) -> float:
        return max(0.0, (at - self.began).total_seconds())

    def _seconds(self, row: _Execution) -> float:
        if row.finished:
            return row.seconds or 0.0
        return max(0.0, (self.now - row.started_at).total_seconds())

    def _end_of(self, row: _Trajectory) -> float:
        return self._since(row.finished_at or self.now)


def _tokens(turn: _Turn) -> int | None:
    """Returns the tokens of a call. As in the roll-ups, a failed call without reported tokens has none."""
    if turn.prompt_tokens is None or turn.completion_tokens is None:
        return 0 if turn.error else None
    return turn.prompt_tokens + turn.completion_tokens


def _sum(values: Iterable[Any]) -> Any:
    """Returns the sum; None if one is unknown."""
    total: Any = 0
    for value in values:
        if value is None:
            return None
        total += value
    return total


def own_seconds(tree: SpanTree) -> tuple[float, ...]:
    """Returns the seconds of each span in which none of its children ran."""
    children = tree.children()
    return tuple(
        max(0.0, span.seconds - _covered([tree.spans[child] for child in children.get(index, ())]))
        for index, span in enumerate(tree.spans)
    )


def _covered(spans: Iterable[Span]) -> float:
    """Returns the length of the union of the spans, in seconds."""
    covered, until = 0.0, 0.0
    for span in sorted(spans, key=lambda each: each.start):
        covered += max(0.0, span.end - max(span.start, until))
        until = max(until, span.end)
    return covered


@dataclass(frozen=True)
class BatchTimes:
    """The timing of a batch. `wide` is the highest number of calls at once; `waiting` is the number of seconds in
    which only the slowest call ran.
    """

    span: Span
    calls: int
    wide: int
    median: float
    slowest: float
    waiting: float


def batches(tree: SpanTree) -> tuple[BatchTimes, ...]:
    """Returns the batches of the attempt, the longest first."""
    children = tree.children()
    found = [
        _batch_times(span, [tree.spans[child] for child in children.get(index, ())])
        for index, span in enumerate(tree.spans)
        if span.kind == "batch"
    ]
    return tuple(sorted(found, key=lambda times: -times.span.seconds))


def _batch_times(span: Span, calls: Sequence[Span]) -> BatchTimes:
    seconds = sorted(call.seconds for call in calls)
    ends = sorted(call.end for call in calls)
    middle = len(seconds) // 2
    median = seconds[middle] if len(seconds) % 2 else (seconds[middle - 1] + seconds[middle]) / 2
    return BatchTimes(
        span=span,
        calls=len(calls),
        wide=_most_at_once(calls),
        median=median,
        slowest=seconds[-1],
        waiting=ends[-1] - ends[-2] if len(ends) > 1 else 0.0,
    )


def _most_at_once(spans: Sequence[Span]) -> int:
    changes = sorted([(span.start, 1) for span in spans] + [(span.end, -1) for span in spans])
    most = now = 0
    for _, change in changes:  # at one instant, ends come before starts
        now += change
        most = max(most, now)
    return most


def idle_seconds(tree: SpanTree) -> float:
    """Returns the seconds in which neither a model call nor an execution of the root ran."""
    busy = (span for span in tree.spans if span.turn and span.kind in ("model", "cell", "tool"))
    return max(0.0, tree.seconds - _covered(busy))
