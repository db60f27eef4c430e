"""Roll-ups of costs, recomputed in SQL after the costs of calls changed."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import connection

_SUM = (
    "CASE WHEN NOT coalesce(bool_or(u.cost IS NULL) FILTER (WHERE {0}), false)"
    " THEN coalesce(sum(u.cost) FILTER (WHERE {0}), 0) END"
)
"""The sum of some calls: NULL if one of them has no known price, 0 without calls."""
_COSTS = f"""
UPDATE rlm_runs_rollout r SET cost = new.cost, earlier_cost = new.earlier, judge_cost = new.judging
  FROM (SELECT r.id, {_SUM.format("t.kind <> 'judge' AND t.attempt = r.attempt")} AS cost,
               {_SUM.format("t.kind <> 'judge' AND t.attempt < r.attempt")} AS earlier,
               {_SUM.format("t.kind = 'judge'")} AS judging
          FROM rlm_runs_rollout r
          JOIN rlm_runs_trajectory t ON t.rollout_id = r.id
          JOIN rlm_runs_turn u ON u.trajectory_id = t.id
         WHERE r.id = ANY(%s)
         GROUP BY r.id) new
 WHERE r.id = new.id
"""
_COSTS_OF_ATTEMPTS = f"""
UPDATE rlm_runs_attempt a
   SET cost = new.cost, sums = jsonb_set(a.sums, '{{earlier_cost}}', coalesce(to_jsonb(new.earlier), 'null'))
  FROM (SELECT a.id, {_SUM.format("t.attempt = a.number")} AS cost,
               {_SUM.format("t.attempt < a.number")} AS earlier
          FROM rlm_runs_attempt a
          JOIN rlm_runs_trajectory t ON t.rollout_id = a.rollout_id AND t.kind <> 'judge'
          JOIN rlm_runs_turn u ON u.trajectory_id = t.id
         WHERE a.rollout_id = ANY(%s)
         GROUP BY a.id) new
 WHERE a.id = new.id
"""
_COSTS_OF_RESCORINGS = f"""
UPDATE rlm_runs_rescoring s SET cost = new.cost
  FROM (SELECT t.rescoring_id AS id, {_SUM.format("true")} AS cost
          FROM rlm_runs_trajectory t
          JOIN rlm_runs_turn u ON u.trajectory_id = t.id
         WHERE t.rollout_id = ANY(%s) AND t.rescoring_id IS NOT NULL
         GROUP BY t.rescoring_id) new
 WHERE s.id = new.id
"""


def refresh_costs(rollouts: Sequence[int]) -> None:
    """Recomputes the cost roll-ups of ended rollouts, their attempts and their rescorings."""
    with connection.cursor() as cursor:
        for statement in (_COSTS, _COSTS_OF_ATTEMPTS, _COSTS_OF_RESCORINGS):
            cursor.execute(statement, [list(rollouts)])
