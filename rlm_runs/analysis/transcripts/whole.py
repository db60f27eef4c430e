"""All conversations of an attempt at once, for a file: a fixed number of queries, and a bound on their text."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ...models import Execution, Rollout, Text, Trajectory, Turn
from .conversation import Conversation, OpeningMessage, OutlineEntry, SubCall
from .excerpts import EMPTY, Excerpt, code_of, excerpts
from .reading import execution_views, outline_entry, sub_calls_of, turn_view


@dataclass(frozen=True)
class Bounds:
    """The amount of text to read, in characters: `longest` for one text, `total` for all of them, counted as often
    as they occur in the trace. If the total does not suffice, the longest texts are cut to one length.
    """

    longest: int = 100_000
    total: int = 8_000_000


DEFAULT_BOUNDS = Bounds()


@dataclass(frozen=True)
class WholeTrace:
    """All conversations of an attempt.

    `texts` has the texts that were requested beside the trace. `cut` is the number of texts that are not complete,
    `cap` is the length to which they were cut.
    """

    root: Conversation | None
    calls: tuple[Conversation, ...]
    judges: tuple[Conversation, ...]
    texts: Mapping[str, Excerpt]
    cut: int
    cap: int


def read_whole(
    rollout: Rollout, *, attempt: int, beside: Iterable[str] = (), bounds: Bounds = DEFAULT_BOUNDS
) -> WholeTrace:
    """Returns the conversations of an attempt, without rescorings. Six queries for any number of them.

    `beside` are digests of further texts, which share the bounds.
    """
    found = rollout.trajectories.filter(attempt=attempt, rescoring=None).defer("tools").order_by("pk")
    trajectories = list(found)
    turns: dict[int, list[Turn]] = defaultdict(list)
    rows = Turn.objects.filter(trajectory__in=found.values("pk")).defer("usage")
    for turn in rows.order_by("trajectory", "index"):
        turns[turn.trajectory_id].append(turn)
    executions: dict[int, list[Execution]] = defaultdict(list)
    steps = Execution.objects.filter(turn__trajectory__in=found.values("pk")).defer("variables")
    for execution in steps.order_by("turn", "position"):
        executions[execution.turn_id].append(execution)
    calls = sub_calls_of([step.pk for steps in executions.values() for step in steps])
    uses = Counter([*beside, *_digests(trajectories, turns, executions)])
    cap = _cap(uses, bounds)
    texts = excerpts(uses, chars=cap)
    made = {row.pk: _conversation(row, turns.get(row.pk, ()), executions, calls, texts) for row in trajectories}
    of_kind = {kind: [made[row.pk] for row in trajectories if row.kind == kind] for kind in Trajectory.Kind}
    return WholeTrace(
        root=next(iter(of_kind[Trajectory.Kind.ROOT]), None),
        calls=tuple(of_kind[Trajectory.Kind.SUB]),
        judges=tuple(of_kind[Trajectory.Kind.JUDGE]),
        texts=texts,
        cut=sum(text.is_cut for text in texts.values()),
        cap=cap,
    )


def _digests(
    trajectories: Sequence[Trajectory],
    turns: Mapping[int, Sequence[Turn]],
    executions: Mapping[int, Sequence[Execution]],
) -> Iterable[str]:
    """Returns the digests of the trace's texts, each as often as it occurs."""
    found: list[str | None] = []
    for row in trajectories:
        found += [row.answer_id, *(message["text"] for message in row.opening)]
    for turn in (turn for several in turns.values() for turn in several):
        found += [turn.content_id, turn.reasoning_id, turn.reply_id]
    for step in (step for several in executions.values() for step in several):
        found += [step.arguments_id, step.shown_id, step.answer_id]
        found += [step.output_id] if step.truncated else []
    return [digest for digest in found if digest]


def _cap(uses: Mapping[str, int], bounds: Bounds) -> int:
    """Returns the greatest length at which all texts fit, without reading them."""
    chars = dict(Text.objects.filter(sha256__in=set(uses)).values_list("sha256", "chars"))
    left, waiting = bounds.total, sum(uses[digest] for digest in chars)
    for length, times in sorted((length, uses[digest]) for digest, length in chars.items()):
        if length * waiting > left:
            return max(1, min(left // waiting, bounds.longest))
        left, waiting = left - length * times, waiting - times
    return bounds.longest


def _conversation(
    row: Trajectory,
    turns: Sequence[Turn],
    executions: Mapping[int, Sequence[Execution]],
    calls: Mapping[int, Sequence[SubCall]],
    texts: Mapping[str, Excerpt],
) -> Conversation:
    views = execution_views(turns, executions, calls, texts)
    return Conversation(
        row=row,
        opening=tuple(
            OpeningMessage(index=index, role=message["role"], text=texts.get(message["text"], EMPTY))
            for index, message in enumerate(row.opening)
        ),
        turns=tuple(turn_view(turn, views[turn.pk], texts) for turn in turns),
        outline=tuple(_entry(turn, executions.get(turn.pk, ()), texts) for turn in turns),
        first=1,
        answer=texts.get(row.answer_id) if row.answer_id else None,
    )


def _entry(turn: Turn, executions: Sequence[Execution], texts: Mapping[str, Excerpt]) -> OutlineEntry:
    said = texts.get(turn.content_id, EMPTY).first_line
    code = code_of(texts.get(executions[0].arguments_id, EMPTY))[0].first_line if executions else ""
    return outline_entry(turn, executions, said or code or ("error" if turn.error else "no words"))
