"""The checks of a store after faults: every rollout ended once, nothing is lost, nothing is counted twice."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.faults.load import Load

Ask = Callable[[str], list[tuple[Any, ...]]]

_ROLLOUTS = "SELECT id, status, stop_reason, error_boundary, attempt, error FROM rlm_runs_rollout ORDER BY id"
_TURNS = """
SELECT substring(x.body from 'reply (\\d+)')::int, extract(epoch FROM pg_xact_commit_timestamp(u.xmin))::float8,
       t.kind, t.attempt
  FROM rlm_runs_turn u
  JOIN rlm_runs_trajectory t ON t.id = u.trajectory_id
  JOIN rlm_runs_text x ON x.sha256 = u.content_id
 WHERE u.error = ''
"""
# Texts that rows name and that are not there: nothing but the program keeps them together.
_LOST_TEXTS = """
SELECT count(*)
  FROM (SELECT content_id AS id FROM rlm_runs_turn UNION SELECT reply_id FROM rlm_runs_turn
        UNION SELECT arguments_id FROM rlm_runs_execution UNION SELECT shown_id FROM rlm_runs_execution
        UNION SELECT output_id FROM rlm_runs_execution UNION SELECT answer_id FROM rlm_runs_trajectory) used
 WHERE id IS NOT NULL AND NOT EXISTS (SELECT FROM rlm_runs_text x WHERE x.sha256 = used.id)
"""
# Turns, sub-calls and cells of the last attempt, counted without the roll-ups' code.
_WRONG_SUMS = """
SELECT r.id FROM rlm_runs_rollout r
  LEFT JOIN (SELECT t.rollout_id, t.attempt,
                    count(*) FILTER (WHERE t.kind = 'root' AND u.error = '') AS turns,
                    count(DISTINCT t.id) FILTER (WHERE t.kind = 'sub') AS sub_calls,
                    sum(u.prompt_tokens) FILTER (WHERE t.kind = 'root') AS prompt
               FROM rlm_runs_trajectory t LEFT JOIN rlm_runs_turn u ON u.trajectory_id = t.id
              GROUP BY 1, 2) s ON s.rollout_id = r.id AND s.attempt = r.attempt
 WHERE r.status IN ('completed', 'failed')
   AND (r.turns, r.sub_calls, r.main_prompt_tokens)
       IS DISTINCT FROM (coalesce(s.turns, 0), coalesce(s.sub_calls, 0), coalesce(s.prompt, 0))
"""


@dataclass
class Findings:
    """What was wrong, and the figures beside it."""

    problems: list[str] = field(default_factory=list)
    rollouts: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    attempts: int = 0
    turns: int = 0
    replies: int = 0
    unstored: int = 0
    """Replies that were given and are not in the store: they were in flight when their worker died."""
    asked_again: int = 0
    """Requests for a turn whose reply was committed already."""


def examine(ask: Ask, load: Load, *, rollouts: int, own_reasons: Collection[str] = ()) -> Findings:
    """Examines a store in which every rollout should have ended. `own_reasons` are failures of the load's own."""
    found = Findings()
    _examine_ends(found, ask(_ROLLOUTS), rollouts=rollouts, own_reasons=own_reasons)
    _examine_turns(found, ask(_TURNS), load)
    if lost := ask(_LOST_TEXTS)[0][0]:
        found.problems.append(f"{lost} texts are lost")
    if wrong := ask(_WRONG_SUMS):
        found.problems.append(f"the sums of {len(wrong)} rollouts are wrong: {wrong[:5]}")
    return found


def _examine_ends(
    found: Findings, rows: Sequence[tuple[Any, ...]], *, rollouts: int, own_reasons: Collection[str]
) -> None:
    found.rollouts = len(rows)
    found.statuses = Counter(row[1] for row in rows)
    found.attempts = sum(row[4] for row in rows)
    if len(rows) != rollouts:
        found.problems.append(f"{len(rows)} rollouts instead of {rollouts}")
    for pk, status, reason, boundary, attempt, error in rows:
        is_own = status == "failed" and reason in own_reasons
        if status not in ("completed", "cancelled") and not is_own:
            told = f"{status}, {reason} ({boundary}), attempt {attempt}: {error[:200]}"
            found.problems.append(f"rollout {pk}: {told}")


def _examine_turns(found: Findings, rows: Sequence[tuple[Any, ...]], load: Load) -> None:
    served = {one.number: one for one in list(load.served)}
    stored = Counter(row[0] for row in rows)
    found.turns, found.replies = len(rows), len(served)
    found.unstored = len(served.keys() - stored.keys())
    if twice := [number for number, times in stored.items() if times > 1]:
        found.problems.append(f"{len(twice)} replies are stored twice: {twice[:5]}")
    if unknown := stored.keys() - served.keys():
        found.problems.append(f"{len(unknown)} stored replies were never given")
    committed: dict[tuple[str, int], float] = defaultdict(lambda: float("inf"))
    for number, at, _, _ in rows:
        if one := served.get(number):
            place = one.conversation, one.turn
            committed[place] = min(committed[place], at)
    found.asked_again = sum(one.asked_at > committed[one.conversation, one.turn] + 0.1 for one in served.values())
