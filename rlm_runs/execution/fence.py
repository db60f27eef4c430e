"""The fence before the store: a worker whose rollout was taken over can no longer write to it.

A machine that slept, or was cut off from the database for longer than a lease, does not know that another worker
has its rollouts. Its late writes would mix with the other worker's turns.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.db import connection

from ..models import Rollout

# In the order of their ids, like the lease keeper locks them, so that the two never deadlock.
_LOCK = """
SELECT r.id
  FROM rlm_runs_rollout r
  JOIN unnest(%s::bigint[], %s::int[]) AS held(id, claims) ON r.id = held.id AND r.claims = held.claims
 WHERE r.status = 'running'
 ORDER BY r.id
   FOR NO KEY UPDATE OF r
"""


def lock_held(rollouts: Sequence[Rollout]) -> set[int]:
    """Returns the ids of the rollouts whose claim still holds, locked against takeover until the
    transaction ends.
    """
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, [[one.pk for one in rollouts], [one.claims for one in rollouts]])
        return {row[0] for row in cursor.fetchall()}
