"""`manage.py check_store`: whether every stored sum equals the sum of its parts, computed anew in SQL."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connection

# Independent of recorder.roll_up on purpose: two ways to the same number.
_MISMATCHES = """
WITH turn_sums AS (
  SELECT t.rollout_id,
         count(*) FILTER (WHERE t.kind = 'root' AND u.error = '') AS turns,
         count(*) FILTER (WHERE t.kind = 'sub' AND u.error = '') AS sub_turns,
         coalesce(sum(u.prompt_tokens) FILTER (WHERE t.kind = 'root'), 0) AS main_prompt_tokens,
         coalesce(sum(u.cached_tokens) FILTER (WHERE t.kind = 'root'), 0) AS main_cached_tokens,
         coalesce(sum(u.completion_tokens) FILTER (WHERE t.kind = 'root'), 0) AS main_completion_tokens,
         coalesce(sum(u.reasoning_tokens) FILTER (WHERE t.kind = 'root'), 0) AS main_reasoning_tokens,
         coalesce(sum(u.prompt_tokens) FILTER (WHERE t.kind = 'sub'), 0) AS sub_prompt_tokens,
         coalesce(sum(u.cached_tokens) FILTER (WHERE t.kind = 'sub'), 0) AS sub_cached_tokens,
         coalesce(sum(u.completion_tokens) FILTER (WHERE t.kind = 'sub'), 0) AS sub_completion_tokens,
         coalesce(sum(u.reasoning_tokens) FILTER (WHERE t.kind = 'sub'), 0) AS sub_reasoning_tokens,
         coalesce(sum(u.retries), 0) AS retries,
         CASE WHEN bool_or(u.cost IS NULL) THEN NULL ELSE sum(u.cost) END AS cost
    FROM rlm_runs_turn u
    JOIN rlm_runs_trajectory t ON t.id = u.trajectory_id
    JOIN rlm_runs_rollout r ON r.id = t.rollout_id AND r.attempt = t.attempt
   WHERE t.kind <> 'judge'
   GROUP BY t.rollout_id
), judge_sums AS (
  SELECT t.rollout_id, CASE WHEN bool_or(u.cost IS NULL) THEN NULL ELSE sum(u.cost) END AS judge_cost
    FROM rlm_runs_turn u
    JOIN rlm_runs_trajectory t ON t.id = u.trajectory_id
    JOIN rlm_runs_rollout r ON r.id = t.rollout_id AND r.attempt = t.attempt
   WHERE t.kind = 'judge'
   GROUP BY t.rollout_id
), execution_sums AS (
  SELECT t.rollout_id,
         count(*) FILTER (WHERE e.kind = 'cell') AS cells,
         count(*) FILTER (WHERE e.kind = 'tool') AS tool_calls
    FROM rlm_runs_execution e
    JOIN rlm_runs_turn u ON u.id = e.turn_id
    JOIN rlm_runs_trajectory t ON t.id = u.trajectory_id
    JOIN rlm_runs_rollout r ON r.id = t.rollout_id AND r.attempt = t.attempt
   GROUP BY t.rollout_id
), call_sums AS (
  SELECT t.rollout_id, count(*) AS sub_calls, count(DISTINCT (t.parent_id, t.batch)) AS batches
    FROM rlm_runs_trajectory t
    JOIN rlm_runs_rollout r ON r.id = t.rollout_id AND r.attempt = t.attempt
   WHERE t.kind = 'sub'
   GROUP BY t.rollout_id
)
SELECT r.id
  FROM rlm_runs_rollout r
  LEFT JOIN turn_sums s ON s.rollout_id = r.id
  LEFT JOIN judge_sums j ON j.rollout_id = r.id
  LEFT JOIN execution_sums e ON e.rollout_id = r.id
  LEFT JOIN call_sums c ON c.rollout_id = r.id
 WHERE r.status IN ('completed', 'failed', 'cancelled') AND r.attempt > 0
   AND ROW(r.turns, r.sub_turns, r.main_prompt_tokens, r.main_cached_tokens, r.main_completion_tokens,
           r.main_reasoning_tokens, r.sub_prompt_tokens, r.sub_cached_tokens, r.sub_completion_tokens,
           r.sub_reasoning_tokens, r.retries, r.cost, r.cells, r.tool_calls, r.sub_calls, r.batches, r.judge_cost)
       IS DISTINCT FROM
       ROW(coalesce(s.turns, 0), coalesce(s.sub_turns, 0), coalesce(s.main_prompt_tokens, 0),
           coalesce(s.main_cached_tokens, 0), coalesce(s.main_completion_tokens, 0),
           coalesce(s.main_reasoning_tokens, 0), coalesce(s.sub_prompt_tokens, 0),
           coalesce(s.sub_cached_tokens, 0), coalesce(s.sub_completion_tokens, 0),
           coalesce(s.sub_reasoning_tokens, 0), coalesce(s.retries, 0),
           CASE WHEN s.rollout_id IS NULL THEN 0 ELSE s.cost END,
           coalesce(e.cells, 0), coalesce(e.tool_calls, 0), coalesce(c.sub_calls, 0), coalesce(c.batches, 0),
           CASE WHEN j.rollout_id IS NULL THEN 0 ELSE j.judge_cost END)
 ORDER BY r.id
"""


class Command(BaseCommand):
    help = "Checks that the sums on every finished rollout equal the sums of its parts."

    def handle(self, **_: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(_MISMATCHES)
            wrong = [row[0] for row in cursor.fetchall()]
        if wrong:
            shown = ", ".join(map(str, wrong[:20]))
            raise CommandError(f"the sums of {len(wrong)} rollouts differ from their parts: {shown}")
        self.stdout.write("every rollout's sums equal the sums of its parts")
