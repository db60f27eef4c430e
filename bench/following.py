"""The delay of a running experiment's pages: server time of the first request after a change.

    python -m bench.following [--rollouts 100000] [--changes 20] [--json]

Half of the experiment is queued. Before each request forty rollouts end, as a fleet of workers ends them in a
second, after which an open page asks again. Its delay is that second plus the time measured here. The reference is
the least SQL for the same facts: counts and means by arm.
"""

from __future__ import annotations

import argparse
import re
import statistics
import time
from typing import TYPE_CHECKING, Any

import psycopg

from bench.filled_store import served
from bench.pages import milliseconds, percentile95, reader
from bench.report import Figure, show

if TYPE_CHECKING:
    from django.test import Client

SLUG = "bench-2"
ENDING = 40
BY_ARM = "SELECT arm_id, status, count(*), avg(reward) FROM rlm_runs_rollout WHERE experiment_id = 2 GROUP BY 1, 2"
QUEUE = """
UPDATE rlm_runs_rollout SET status = 'queued', stop_reason = '', started_at = NULL, finished_at = NULL
 WHERE experiment_id = 2 AND id % 2 = 0 AND status <> 'queued'
"""
END = """
UPDATE rlm_runs_rollout
   SET status = 'completed', stop_reason = 'answer_ready', reward = id %% 2, finished_at = now(),
       started_at = now() - interval '1 minute'
 WHERE id IN (SELECT id FROM rlm_runs_rollout WHERE experiment_id = 2 AND status = 'queued' ORDER BY id LIMIT %s)
"""


def following(
    address: str, *, client: Client, connection: psycopg.Connection, changes: int
) -> tuple[list[float], list[float]]:
    """Returns the milliseconds of each request after a change, and of each request without one."""
    version = _version(client.get(address.removesuffix("live/")))
    changed, unchanged = [], []
    for _ in range(changes):
        connection.execute(END, [ENDING])
        began = time.perf_counter()
        response = client.get(address, {"version": version})
        changed.append((time.perf_counter() - began) * 1000)
        assert response.status_code == 200
        version = _version(response)
        began = time.perf_counter()
        assert client.get(address, {"version": version}).status_code == 204
        unchanged.append((time.perf_counter() - began) * 1000)
    return changed, unchanged


def _version(response: Any) -> str:
    """Returns the version in the page, which its next request sends."""
    found = re.search(r"version=([0-9a-f]{16})", response.content.decode())
    assert found, "the page does not follow"
    return found[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rollouts", type=int, default=100_000, help="size of the running experiment")
    parser.add_argument("--changes", type=int, default=20, help="how often some end")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args()
    store = options.rollouts * 3  # the large experiment has a third of it
    with (
        served(rollouts=store, name="following") as address,
        psycopg.connect(address, autocommit=True) as connection,
    ):
        client = reader()
        connection.execute(QUEUE)
        connection.execute("VACUUM ANALYZE rlm_runs_rollout")
        floor = statistics.median(milliseconds(lambda: connection.execute(BY_ARM).fetchall()) for _ in range(5))
        for name, page in (("experiment", "live/"), ("figure reward", "figures/reward/live/")):
            changed, unchanged = following(
                f"/experiments/{SLUG}/{page}", client=client, connection=connection, changes=options.changes
            )
            for what, values in (("some ended", changed), ("nothing changed", unchanged)):
                figure = Figure(f"{name}, {what}", percentile95(values), "ms", "counts and means by arm", floor)
                show(figure, as_json=options.json)


if __name__ == "__main__":
    main()
