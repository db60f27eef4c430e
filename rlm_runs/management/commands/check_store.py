"""`manage.py check_store` compares every stored roll-up with the sum of its parts, recomputed in SQL.

For an imported rollout with reported sums, it checks only the values that its transcript holds.
"""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connection, transaction

from rlm_runs.analysis.failure_modes import FAILURE_MODES
from rlm_runs.engine.scaffolds import registry

# Deliberately independent of rollups.roll_up: two ways to the same number.
_PARTS = """
WITH turn_sums AS (
  SELECT t.rollout_id,
         count(*) FILTER (WHERE t.kind = 'root' AND u.error = '') AS turns,
         count(*) FILTER (WHERE t.kind = 'sub' AND u.error = '') AS sub_turns,
         sum(u.prompt_tokens) FILTER (WHERE t.kind = 'root') AS main_prompt_tokens,
         sum(u.cached_tokens) FILTER (WHERE t.kind = 'root') AS main_cached_tokens,
         sum(u.completion_tokens) FILTER (WHERE t.kind = 'root') AS main_completion_tokens,
         sum(u.reasoning_tokens) FILTER (WHERE t.kind = 'root') AS main_reasoning_tokens,
         sum(u.prompt_tokens) FILTER (WHERE t.kind = 'sub') AS sub_prompt_tokens,
         sum(u.cached_tokens) FILTER (WHERE t.kind = 'sub') AS sub_cached_tokens,
         sum(u.completion_tokens) FILTER (WHERE t.kind = 'sub') AS sub_completion_tokens,
         sum(u.reasoning_tokens) FILTER (WHERE t.kind = 'sub') AS sub_reasoning_tokens,
         coalesce(sum(u.retries), 0) AS retries,
         count(u.sent_tokens) AS truncated_prompts,
         count(*) FILTER (WHERE u.tokens_estimated) AS estimated_calls,
         sum(u.seconds - u.retry_seconds) FILTER (WHERE t.kind = 'root') AS model_seconds,
         sum(u.retry_seconds) FILTER (WHERE t.kind = 'root') AS retry_seconds,
         avg(u.first_token_seconds) FILTER (WHERE t.kind = 'root') AS first_token_seconds,
         sum(u.completion_tokens - 1) FILTER (WHERE t.kind = 'root' AND u.tokens_per_second > 0)
         / nullif(sum((u.completion_tokens - 1) / u.tokens_per_second) FILTER (
             WHERE t.kind = 'root' AND u.tokens_per_second > 0), 0) AS tokens_per_second,
         CASE WHEN bool_or(u.cost IS NULL) THEN NULL ELSE sum(u.cost) END AS cost,
         CASE WHEN NOT bool_or(u.error = '' AND u.provider_cost IS NULL)
              THEN sum(u.provider_cost) FILTER (WHERE u.error = '') END AS provider_cost
    FROM rlm_runs_turn u
    JOIN rlm_runs_trajectory t ON t.id = u.trajectory_id
    JOIN rlm_runs_rollout r ON r.id = t.rollout_id AND r.attempt = t.attempt
   WHERE t.kind <> 'judge'
   GROUP BY t.rollout_id
), judge_sums AS (
  SELECT t.rollout_id, CASE WHEN bool_or(u.cost IS NULL) THEN NULL ELSE sum(u.cost) END AS judge_cost
    FROM rlm_runs_turn u
    JOIN rlm_runs_trajectory t ON t.id = u.trajectory_id
   WHERE t.kind = 'judge'
   GROUP BY t.rollout_id
), execution_sums AS (
  SELECT t.rollout_id,
         count(*) FILTER (WHERE e.kind = 'cell') AS cells,
         count(*) FILTER (WHERE e.kind = 'tool') AS tool_calls,
         count(*) FILTER (WHERE e.kind = 'cell' AND t.kind = 'root') AS root_cells,
         count(*) FILTER (WHERE e.kind = 'cell' AND t.kind = 'root' AND e.error_type <> '') AS cell_errors,
         count(*) FILTER (WHERE e.kind = 'cell' AND t.kind = 'root' AND e.truncated) AS cells_cut,
         count(*) FILTER (WHERE e.kind = 'cell' AND t.kind = 'root' AND e.timed_out) AS cells_timed_out,
         count(*) FILTER (WHERE e.kind = 'cell' AND t.kind = 'root' AND e.repairs <> '') AS cells_repaired,
         sum(e.seconds) FILTER (WHERE e.kind = 'cell' AND t.kind = 'root') AS cell_seconds,
         count(*) FILTER (WHERE e.kind = 'tool' AND t.kind = 'root') AS root_tools,
         sum(e.seconds) FILTER (WHERE e.kind = 'tool' AND t.kind = 'root') AS tool_seconds,
         min(u.index + 1) FILTER (
             WHERE e.kind = 'cell' AND t.kind = 'root' AND e.answer_id <> sha256('')) AS first_answer_turn
    FROM rlm_runs_execution e
    JOIN rlm_runs_turn u ON u.id = e.turn_id
    JOIN rlm_runs_trajectory t ON t.id = u.trajectory_id
    JOIN rlm_runs_rollout r ON r.id = t.rollout_id AND r.attempt = t.attempt
   GROUP BY t.rollout_id
), answers AS (
  SELECT rollout_id, sum((answer_id <> before)::int) AS answer_edits
    FROM (SELECT t.rollout_id, e.answer_id, u.index, e.position,
                 lag(e.answer_id) OVER of_rollout AS before,
                 bool_or(e.answer_id <> sha256('')) OVER of_rollout_so_far AS begun_before
            FROM rlm_runs_execution e
            JOIN rlm_runs_turn u ON u.id = e.turn_id
            JOIN rlm_runs_trajectory t ON t.id = u.trajectory_id
            JOIN rlm_runs_rollout r ON r.id = t.rollout_id AND r.attempt = t.attempt
           WHERE e.kind = 'cell' AND t.kind = 'root' AND e.answer_id IS NOT NULL
          WINDOW of_rollout AS (PARTITION BY t.rollout_id ORDER BY u.index, e.position),
                 of_rollout_so_far AS (PARTITION BY t.rollout_id ORDER BY u.index, e.position
                                       ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)) steps
   WHERE begun_before
   GROUP BY rollout_id
), calls AS (
  SELECT t.rollout_id, t.parent_id, t.batch, t.depth, t.summary, t.started_at, t.finished_at,
         greatest(t.started_at, e.started_at) AS began,
         CASE WHEN e.seconds IS NOT NULL
              THEN least(t.finished_at, e.started_at + e.seconds * interval '1 second') END AS ended
    FROM rlm_runs_trajectory t
    JOIN rlm_runs_rollout r ON r.id = t.rollout_id AND r.attempt = t.attempt
    LEFT JOIN rlm_runs_execution e ON e.id = t.parent_id
   WHERE t.kind = 'sub'
), call_sums AS (
  SELECT rollout_id, count(*) AS sub_calls, count(DISTINCT (parent_id, batch)) AS batches
    FROM calls
   GROUP BY rollout_id
), largest AS (
  SELECT rollout_id, max(size) AS max_batch
    FROM (SELECT rollout_id, count(*) AS size FROM calls WHERE depth = 1 GROUP BY rollout_id, parent_id, batch) one
   GROUP BY rollout_id
), under_way AS (
  SELECT rollout_id, sum(extract(epoch FROM upper(span) - lower(span)))::float8 AS sub_seconds
    FROM (SELECT rollout_id, unnest(range_agg(tstzrange(began, ended))) AS span
            FROM calls
           WHERE depth = 1 AND summary IS NULL AND began < ended
           GROUP BY rollout_id) spans
   GROUP BY rollout_id
), at_once AS (
  SELECT rollout_id, max(together) AS max_parallel
    FROM (SELECT rollout_id, sum(change) OVER so_far AS together
            FROM (SELECT rollout_id, started_at AS moment, 1 AS change FROM calls WHERE depth = 1
                   UNION ALL
                  SELECT rollout_id, finished_at, -1 FROM calls WHERE depth = 1 AND finished_at IS NOT NULL) moves
          WINDOW so_far AS (PARTITION BY rollout_id ORDER BY moment, change ROWS UNBOUNDED PRECEDING)) counted
   GROUP BY rollout_id
), summarized AS (
  SELECT DISTINCT rollout_id FROM calls WHERE depth = 1 AND summary IS NOT NULL
), ended AS (
  SELECT r.*, (a.scaffold = ANY(%(submitting)s)) AS is_rlm,
         (a.scaffold = ANY(%(calling)s)
          AND CASE WHEN jsonb_typeof(a.scaffold_settings -> 'depth') = 'number'
                   THEN (a.scaffold_settings ->> 'depth')::numeric > 0 ELSE true END) AS may_call
    FROM rlm_runs_rollout r
    JOIN rlm_runs_arm a ON a.id = r.arm_id
   WHERE r.status IN ('completed', 'failed', 'cancelled') AND r.attempt > 0
)
SELECT r.id
  FROM ended r
  LEFT JOIN turn_sums s ON s.rollout_id = r.id
  LEFT JOIN judge_sums j ON j.rollout_id = r.id
  LEFT JOIN execution_sums e ON e.rollout_id = r.id
  LEFT JOIN answers w ON w.rollout_id = r.id
  LEFT JOIN call_sums c ON c.rollout_id = r.id
  LEFT JOIN largest b ON b.rollout_id = r.id
  LEFT JOIN under_way v ON v.rollout_id = r.id
  LEFT JOIN at_once p ON p.rollout_id = r.id
  LEFT JOIN summarized y ON y.rollout_id = r.id
"""


def _tokens(column: str) -> str:
    turns = "turns" if column.startswith("main") else "sub_turns"
    return f"CASE WHEN coalesce(s.{turns}, 0) = 0 THEN coalesce(s.{column}, 0) ELSE s.{column} END"


_SECONDS_CLOSE = 1e-3
"""The tolerance for sums of the same seconds in another order, and for times truncated to microseconds."""

_COUNTS = {
    "turns": "coalesce(s.turns, 0)",
    "sub_turns": "coalesce(s.sub_turns, 0)",
    **{
        column: _tokens(column)
        for column in (f"{side}_{part}_tokens" for side in ("main", "sub") for part in
                       ("prompt", "cached", "completion", "reasoning"))
    },
    "retries": "coalesce(s.retries, 0)",
    "truncated_prompts": "coalesce(s.truncated_prompts, 0)",
    "estimated_calls": "coalesce(s.estimated_calls, 0)",
    "cost": "CASE WHEN s.rollout_id IS NULL THEN 0 ELSE s.cost END",
    "provider_cost": "s.provider_cost",
    # A rescoring in progress is counted when it is done.
    "judge_cost": "CASE WHEN EXISTS (SELECT FROM rlm_runs_rescoring x WHERE x.rollout_id = r.id"
    " AND x.status = 'running') THEN r.judge_cost WHEN j.rollout_id IS NULL THEN 0 ELSE j.judge_cost END",
    "tool_calls": "coalesce(e.tool_calls, 0)",
    "sub_calls": "coalesce(c.sub_calls, 0)",
    "batches": "coalesce(c.batches, 0)",
    "max_batch": "CASE WHEN r.may_call THEN coalesce(b.max_batch, 0) END",
}  # fmt: skip
_SECONDS = {
    "model_seconds": "coalesce(s.model_seconds, 0)",
    "retry_seconds": "coalesce(s.retry_seconds, 0)",
    "first_token_seconds": "s.first_token_seconds",
    "tokens_per_second": "s.tokens_per_second",
    "sub_seconds": "coalesce(v.sub_seconds, 0)",
    "tool_seconds": "CASE WHEN coalesce(e.root_tools, 0) = 0 THEN 0 ELSE e.tool_seconds END",
    "cell_seconds": "CASE WHEN coalesce(e.root_cells, 0) = 0 THEN 0 ELSE e.cell_seconds END",
}
_OF_TRANSCRIPT = {
    "cells": "coalesce(e.cells, 0)",
    "cell_errors": "CASE WHEN r.is_rlm OR e.root_cells > 0 THEN coalesce(e.cell_errors, 0) END",
    "cells_cut": "CASE WHEN r.is_rlm OR e.root_cells > 0 THEN coalesce(e.cells_cut, 0) END",
    "cells_timed_out": "CASE WHEN r.is_rlm OR e.root_cells > 0 THEN coalesce(e.cells_timed_out, 0) END",
    "cells_repaired": "coalesce(e.cells_repaired, 0)",
    "max_parallel": "CASE WHEN r.may_call AND y.rollout_id IS NULL THEN coalesce(p.max_parallel, 0) END",
    "first_answer_turn": "e.first_answer_turn",
    "answer_edits": "CASE WHEN e.first_answer_turn IS NOT NULL THEN coalesce(w.answer_edits, 0) END",
}
_HAS_TRANSCRIPT = """
EXISTS (SELECT FROM rlm_runs_trajectory t WHERE t.rollout_id = r.id AND t.attempt = r.attempt AND t.kind = 'root')
"""


def _differ(columns: dict[str, str]) -> str:
    stored = ", ".join(f"r.{column}" for column in columns)
    return f"ROW({stored}) IS DISTINCT FROM ROW({', '.join(columns.values())})"


def _far(columns: dict[str, str]) -> str:
    """Returns SQL that is true if a value differs by more than rounding, or is known on one side only."""
    return " OR ".join(
        f"(r.{column} IS NULL) <> (({found}) IS NULL) OR abs(r.{column} - ({found})) > {_SECONDS_CLOSE}"
        for column, found in columns.items()
    )


_MODES = ", ".join(f"'{name}'" for name in FAILURE_MODES)
_MISMATCHES = f"""{_PARTS}
 WHERE (NOT r.reported AND ({_differ(_COUNTS)} OR {_far(_SECONDS)}))
    OR ((NOT r.reported OR {_HAS_TRANSCRIPT}) AND {_differ(_OF_TRANSCRIPT)})
    OR NOT r.failure_modes::text[] <@ ARRAY[{_MODES}]
    OR ('too_long' = ANY(r.failure_modes)) <> (r.stop_reason = 'prompt_too_long')
 ORDER BY r.id
"""


class Command(BaseCommand):
    help = "Checks that the sums on every finished rollout equal the sums of its parts."

    def handle(self, **_: Any) -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            # All rows are read once. Without statistics, such as after an import, nested loops would read them
            # again for each rollout.
            cursor.execute("SET LOCAL enable_nestloop = off")
            cursor.execute(
                _MISMATCHES,
                {
                    "submitting": registry.with_capability("submits_answer"),
                    "calling": registry.with_capability("calls_sub_llms"),
                },
            )
            wrong = [row[0] for row in cursor.fetchall()]
        if wrong:
            shown = ", ".join(map(str, wrong[:20]))
            raise CommandError(f"the sums of {len(wrong)} rollouts differ from their parts: {shown}")
        self.stdout.write("every rollout's sums equal the sums of its parts")
