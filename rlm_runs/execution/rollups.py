"""Roll-ups: the columns of a rollout that are computed from its trace when it ends.

They take three queries and read no text: answers are compared by their digests. A value that is not in the trace
is None: a rollout without a REPL has no failed cells, and tokens that no call reported are not zero.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

from ..analysis.failure_modes import LIMITS, Facts, failure_modes
from ..engine.events import ReportedSums, RolloutEnded
from ..engine.scaffolds import registry
from ..models import Arm, Execution, Rollout, Trajectory
from ..models.texts import digest
from .trace_rows import open_cursor

_NO_ANSWER = digest("")
# SQL as text, because the ORM takes longer to write these queries than the database to answer them.
_EXECUTIONS = """
SELECT t.kind = 'root', u.index, e.kind, e.seconds,
       CASE WHEN e.error_type = '' THEN '' ELSE e.error_type || ': ' || left(e.error_message, 500) END,
       e.truncated, e.timed_out, encode(e.answer_id, 'hex'), coalesce(e.ready, false),
       e.repairs <> ''
  FROM rlm_runs_trajectory t
  JOIN rlm_runs_turn u ON u.trajectory_id = t.id
  JOIN rlm_runs_execution e ON e.turn_id = u.id
 WHERE t.rollout_id = %s AND t.attempt = %s
 ORDER BY u.index, e.position
"""
_SUB_CALLS = """
SELECT t.parent_id, t.batch, t.depth, t.started_at, t.finished_at, e.started_at, e.seconds, t.summary IS NOT NULL
  FROM rlm_runs_trajectory t
  LEFT JOIN rlm_runs_execution e ON e.id = t.parent_id
 WHERE t.rollout_id = %s AND t.attempt = %s AND t.kind = 'sub'
"""
_MODEL_CALLS = """
SELECT t.kind, t.attempt, u.error = '', u.seconds, u.retries, u.retry_seconds, u.cost, u.provider_cost,
       u.first_token_seconds, u.tokens_per_second, u.sent_tokens IS NOT NULL, u.tokens_estimated,
       u.prompt_tokens, u.cached_tokens, u.completion_tokens, u.reasoning_tokens
  FROM rlm_runs_trajectory t
  JOIN rlm_runs_turn u ON u.trajectory_id = t.id
 WHERE t.rollout_id = %s
"""
_NOT_IN_A_TRANSCRIPT = (
    *("sub_turns", "model_seconds", "retry_seconds", "sub_seconds", "tool_seconds", "judge_cost"),
    "provider_cost",
)
"""Columns that an imported transcript lacks, because its turns and sub-calls have no numbers."""

_PARTS = ("prompt", "cached", "completion", "reasoning")
_TOKENS = [f"{side}_{part}_tokens" for side in ("main", "sub") for part in _PARTS]


def roll_up(rollout: Rollout, *, attempt: int, ended: RolloutEnded | None = None) -> dict[str, Any]:
    """Returns the roll-ups of an attempt as columns of the rollout. Judges are metered separately.

    `ended` is the end of the attempt, None if it was interrupted. Its reported sums replace those of the rows; a
    sum that neither has is None.
    """
    executions = _ask(_EXECUTIONS, rollout.pk, attempt)
    steps = [_RootStep(*row) for is_root, *row in executions if is_root]
    calls = [_SubCall(*row) for row in _ask(_SUB_CALLS, rollout.pk, attempt)]
    sums = _turn_sums([_call(row) for row in _ask(_MODEL_CALLS, rollout.pk)], attempt=attempt)
    sums |= _execution_sums(executions)
    sums |= _times(steps, calls)
    sums["sub_calls"] = len(calls)
    sums["batches"] = len({(call.parent, call.batch) for call in calls})
    sums |= _repl_use(steps, calls, rollout.arm)
    reported = ended.reported if ended else None
    if reported is not None:
        sums = _as_reported(sums, reported, has_transcript=sums["turns"] > 0)
    sums["reported"] = reported is not None
    sums["failure_modes"] = failure_modes(_facts(rollout.arm, steps, sums, ended))
    return sums


def _ask(query: str, *parameters: int) -> list[tuple[Any, ...]]:
    with open_cursor() as cursor:
        return cursor.execute(query.encode(), parameters).fetchall()


def depth_of(arm: Arm) -> int:
    """Returns the levels of sub-LLMs below the root of an arm: 0 without an RLM, 1 if its settings do not say."""
    return registry.sub_llm_levels(arm.scaffold, arm.scaffold_settings)


def is_rlm(arm: Arm) -> bool:
    """Returns whether the root submits its answer through the REPL's `answer`."""
    return registry.submits_answer(arm.scaffold)


@dataclass(frozen=True)
class _RootStep:
    """A cell or a tool call of the root. `turn` counts from 0; `answer` is a digest, None without an `answer`."""

    turn: int
    kind: str
    seconds: float | None
    error: str
    cut: bool
    timed_out: bool
    answer: str | None
    ready: bool
    is_repaired: bool

    @property
    def is_cell(self) -> bool:
        return self.kind == Execution.Kind.CELL


@dataclass(frozen=True)
class _SubCall:
    """A sub-LLM and the cell that called it. `ended` is None if it was interrupted, or if only a summary is
    stored.
    """

    parent: int
    batch: int
    depth: int
    started: datetime
    ended: datetime | None
    cell_started: datetime
    cell_seconds: float | None
    is_summary: bool


@dataclass(frozen=True)
class _Call:
    """A model call. `completed` is false if it ended in an error."""

    kind: str
    attempt: int
    completed: bool
    seconds: float
    retries: int
    retry_seconds: float
    cost: Decimal | None
    provider_cost: Decimal | None
    first_token_seconds: float | None
    tokens_per_second: float | None
    was_truncated: bool
    is_estimate: bool
    tokens: Mapping[str, int | None]


def _call(row: tuple[Any, ...]) -> _Call:
    """Returns a row of `_MODEL_CALLS`, whose tokens come last, as a call."""
    columns: list[Any] = [*row[: -len(_PARTS)], dict(zip(_PARTS, row[-len(_PARTS) :], strict=True))]
    return _Call(*columns)


def _turn_sums(calls: Sequence[_Call], *, attempt: int) -> dict[str, Any]:
    """Returns sums over the calls of all attempts."""
    of_attempt = [call for call in calls if call.attempt == attempt]
    unjudged = [call for call in of_attempt if call.kind != Trajectory.Kind.JUDGE]
    earlier = [call for call in calls if call.attempt < attempt and call.kind != Trajectory.Kind.JUDGE]
    root = [call for call in of_attempt if call.kind == Trajectory.Kind.ROOT]
    subs = [call for call in of_attempt if call.kind == Trajectory.Kind.SUB]
    return {
        "turns": sum(call.completed for call in root),
        "sub_turns": sum(call.completed for call in subs),
        "retries": sum(call.retries for call in unjudged),
        "truncated_prompts": sum(call.was_truncated for call in unjudged),
        "estimated_calls": sum(call.is_estimate for call in unjudged),
        "model_seconds": sum(call.seconds - call.retry_seconds for call in root),
        "retry_seconds": sum(call.retry_seconds for call in root),
        "first_token_seconds": _mean(call.first_token_seconds for call in root),
        "tokens_per_second": _rate(root),
        **{f"main_{part}_tokens": _tokens(root, part) for part in _PARTS},
        **{f"sub_{part}_tokens": _tokens(subs, part) for part in _PARTS},
        "cost": _dollars(unjudged),
        "earlier_cost": _dollars(earlier),
        "judge_cost": _dollars(call for call in calls if call.kind == Trajectory.Kind.JUDGE),
        "provider_cost": _provider_dollars(unjudged),
    }


def _tokens(calls: Sequence[_Call], part: str) -> int | None:
    """Returns the sum of the reported tokens; None if calls succeeded and none of them reported any."""
    reported = [tokens for call in calls if (tokens := call.tokens[part]) is not None]
    return sum(reported) if reported or not any(call.completed for call in calls) else None


def _mean(values: Iterable[float | None]) -> float | None:
    """Returns the mean of the known values; None without any."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _rate(calls: Iterable[_Call]) -> float | None:
    """Returns the tokens per second over all streamed answers; None without any."""
    streamed = [
        (tokens - 1, call.tokens_per_second)
        for call in calls
        if call.tokens_per_second and (tokens := call.tokens["completion"] or 0) > 1
    ]
    seconds = sum(tokens / rate for tokens, rate in streamed)
    return sum(tokens for tokens, _ in streamed) / seconds if seconds else None


def _dollars(calls: Iterable[_Call]) -> Decimal | None:
    """Returns the sum; None if a call has no known price, 0 without calls."""
    costs = [call.cost for call in calls]
    known = [cost for cost in costs if cost is not None]
    return sum(known, Decimal(0)) if len(known) == len(costs) else None


def _provider_dollars(calls: Iterable[_Call]) -> Decimal | None:
    """Returns the sum of the provider's figures; None if a completed call lacks one, or if there are no calls."""
    costs = [call.provider_cost for call in calls if call.completed]
    known = [cost for cost in costs if cost is not None]
    return sum(known, Decimal(0)) if known and len(known) == len(costs) else None


def _execution_sums(executions: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
    """Returns the number of cells and tool calls at every depth."""
    counts = Counter(row[2] for row in executions)
    return {"cells": counts[Execution.Kind.CELL], "tool_calls": counts[Execution.Kind.TOOL]}


def _times(steps: Sequence[_RootStep], calls: Sequence[_SubCall]) -> dict[str, float | None]:
    """Returns the seconds of the root's cells and tool calls, and the part of the cells' time in which sub-LLMs
    ran.
    """
    return {
        "cell_seconds": _known_sum(step.seconds for step in steps if step.is_cell),
        "tool_seconds": _known_sum(step.seconds for step in steps if not step.is_cell),
        "sub_seconds": _covered_seconds(span for call in calls if (span := _span_in_cell(call))),
    }


def _known_sum(seconds: Iterable[float | None]) -> float | None:
    """Returns the sum of the known values; None if there are values and none is known."""
    found = list(seconds)
    known = [value for value in found if value is not None]
    return sum(known) if known or not found else None


def _span_in_cell(call: _SubCall) -> tuple[datetime, datetime] | None:
    """Returns the start and end of the call within its cell; None for calls of cells below the root."""
    if call.depth != 1 or call.is_summary or call.cell_seconds is None:
        return None
    cell_ended = call.cell_started + timedelta(seconds=call.cell_seconds)
    start = max(call.started, call.cell_started)
    end = min(call.ended or cell_ended, cell_ended)
    return (start, end) if start < end else None


def _covered_seconds(spans: Iterable[tuple[datetime, datetime]]) -> float:
    """Returns the length of the union of the spans, in seconds."""
    covered, until = timedelta(), None
    for start, end in sorted(spans):
        fresh = start if until is None else max(start, until)
        covered += max(end - fresh, timedelta())
        until = end if until is None else max(end, until)
    return covered.total_seconds()


def _repl_use(steps: Sequence[_RootStep], calls: Sequence[_SubCall], arm: Arm) -> dict[str, int | None]:
    """Returns counts of how the root used its REPL; None without a REPL, or without sub-LLMs."""
    cells = [step for step in steps if step.is_cell]
    has_repl, may_call = bool(cells) or is_rlm(arm), depth_of(arm) > 0
    own = [call for call in calls if call.depth == 1]
    batches = Counter((call.parent, call.batch) for call in own)
    first, edits = _answer_changes(cells)
    return {
        "cell_errors": sum(bool(cell.error) for cell in cells) if has_repl else None,
        "cells_cut": sum(cell.cut for cell in cells) if has_repl else None,
        "cells_timed_out": sum(cell.timed_out for cell in cells) if has_repl else None,
        "cells_repaired": sum(cell.is_repaired for cell in cells),
        "max_batch": max(batches.values(), default=0) if may_call else None,
        "max_parallel": _most_at_once(own) if may_call else None,
        "first_answer_turn": first,
        "answer_edits": edits,
    }


def _answer_changes(cells: Sequence[_RootStep]) -> tuple[int | None, int | None]:
    """Returns the turn, from 1, that first wrote the answer, and the number of later changes; None if none did."""
    known = [cell for cell in cells if cell.answer is not None]
    begun = next((number for number, cell in enumerate(known) if cell.answer != _NO_ANSWER), None)
    if begun is None:
        return None, None
    edits = sum(one.answer != other.answer for one, other in pairwise(known[begun:]))
    return known[begun].turn + 1, edits


def _most_at_once(calls: Sequence[_SubCall]) -> int | None:
    """Returns the highest number of calls in flight at a time; None if an import has no times."""
    if any(call.is_summary for call in calls):
        return None
    changes = [(call.started, 1) for call in calls]
    changes += [(call.ended, -1) for call in calls if call.ended is not None]
    most = now = 0
    for _, change in sorted(changes):  # at the same instant, ends come before starts
        now += change
        most = max(most, now)
    return most


def _as_reported(sums: Mapping[str, Any], reported: ReportedSums, *, has_transcript: bool) -> dict[str, Any]:
    """Returns the file's sums, completed by those of its transcript."""
    told = {name: value for name, value in asdict(reported).items() if name != "seconds"}
    unknown = {*_NOT_IN_A_TRANSCRIPT, *_TOKENS, "cost"}
    of_rows = {name: None if name in unknown or not has_transcript else sums[name] for name in sums}
    found = of_rows | {name: value for name, value in told.items() if value is not None}
    if found["sub_calls"] == 0:  # without calls there are no tokens
        of_subs = ["sub_turns", *(column for column in _TOKENS if column.startswith("sub"))]
        found |= {column: found[column] or 0 for column in of_subs}
    none = ("retries", "cells_repaired", "truncated_prompts", "estimated_calls")
    return found | dict.fromkeys(none, 0) | {"earlier_cost": Decimal(0)}


def _facts(arm: Arm, steps: Sequence[_RootStep], sums: Mapping[str, Any], ended: RolloutEnded | None) -> Facts:
    cells = [step for step in steps if step.is_cell]
    stop_reason = ended.stop_reason if ended else ""
    reward = ended.reward if ended else None
    return Facts(
        is_rlm=is_rlm(arm),
        may_call=depth_of(arm) > 0,
        stop_reason=stop_reason,
        ran_to_end=reward is not None or stop_reason in ("unjudged", "scoring_error"),
        reward=reward,
        submitted=_submitted(arm, steps, sums, ended),
        sub_calls=sums["sub_calls"],
        errors=[cell.error for cell in cells],
        cuts=[cell.cut for cell in cells],
    )


def _submitted(
    arm: Arm, steps: Sequence[_RootStep], sums: Mapping[str, Any], ended: RolloutEnded | None
) -> bool | None:
    """Returns whether an answer was submitted; None without a transcript."""
    if ended is None:
        return False
    if sums["reported"] and sums["cells"] is None:
        return None
    if is_rlm(arm):
        return ended.stop_reason == "answer_ready" or any(step.ready for step in steps)
    # A plain model that runs out of turns must answer; one that runs out of tokens or time need not.
    return ended.answer is not None and (ended.stop_reason == "max_turns" or ended.stop_reason not in LIMITS)
