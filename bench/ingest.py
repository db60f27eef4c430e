"""The speed of recording: rollouts whose events go through the worker's group commit into Postgres.

    python -m bench.ingest [--rollouts 300] [--threads 64] [--turns 200] [--json]

A rollout has 17 model calls and 7 cells. Its rows per second are compared with plain INSERTs of the same rows, a
thousand per statement, in the same run. The time and the space of a long rollout are compared with those of its
first half.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import psycopg

from bench.filled_store import served
from bench.report import Figure, show
from rlm_runs.engine import events as e

if TYPE_CHECKING:
    from rlm_runs.models import Rollout

LEAST_ROWS = 5000.0
MOST_CPU_SECONDS = 0.05
CELLS, SUB_CALLS = 7, 10
TABLES = ("rlm_runs_text", "rlm_runs_trajectory", "rlm_runs_turn", "rlm_runs_execution")
_ROWS_PER_STATEMENT = 1000
_BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
_PROSE = "The part of the context between these two lines holds the messages of one user; count them, then go on. "


def steps(name: str, *, cells: int = CELLS, sub_calls: int = SUB_CALLS) -> Iterator[list[e.Event]]:
    """Yields the events of a rollout, in the groups that a worker records. `name` makes the texts unique."""
    clock = _BEGAN
    opening = [e.Message("system", _PROSE * 20), e.Message("user", f"{name}: {_PROSE * 8}")]
    yield [e.RolloutStarted(at=clock, sandbox_backend="docker")]
    group: list[e.Event] = [e.TrajectoryStarted(key=0, at=clock, kind="root", model="demo-model", opening=opening)]
    key = 1
    for number in range(cells):
        clock += timedelta(seconds=2)
        group.append(_turn(0, number, clock, f"{name}, turn {number}: {_PROSE * 4}"))
        cell, key = key, key + 1
        code = json.dumps({"code": f"# {name}\npart = context[{number}000:]\nprint(part)"})
        group.append(
            e.ExecutionStarted(
                key=cell, trajectory=0, turn=number, position=0, at=clock, kind="cell", name="call_python_repl",
                call_id=f"call_{number}", arguments=code,
            )
        )  # fmt: skip
        yield group
        group = []
        if number == 1:
            for position in range(sub_calls):
                sub, key = key, key + 1
                prompt = [e.Message("system", _PROSE * 4), e.Message("user", f"{name} {position}: {_PROSE * 10}")]
                yield [
                    e.TrajectoryStarted(
                        key=sub, at=clock, kind="sub", model="demo-model", opening=prompt, parent=cell, batch=0,
                        position=position, depth=1,
                    )
                ]  # fmt: skip
                answer = f"{name} {position}: there are {position}"
                yield [
                    _turn(sub, 0, clock, answer),
                    e.TrajectoryEnded(key=sub, at=clock, stop_reason="final_message", answer=answer),
                ]
        shown = f"{name} {number}: {_PROSE * 6}"
        group.append(
            e.ExecutionEnded(
                key=cell, seconds=0.01, output=shown, shown=shown, output_chars=len(shown), answer="", ready=False,
                variables=[{"name": "part", "type": "str", "size": "5000", "repr": "'…'"}],
            )
        )  # fmt: skip
    yield [*group, e.TrajectoryEnded(key=0, at=clock, stop_reason="answer_ready", answer=name)]
    yield [e.RolloutEnded(at=clock, stop_reason="answer_ready", answer=name, reward=1.0, metrics={"exact": 1.0})]


def _turn(trajectory: int, index: int, at: datetime, content: str) -> e.TurnEnded:
    raw = {"prompt_tokens": 1200, "completion_tokens": 90, "prompt_tokens_details": {"cached_tokens": 0}}
    usage = e.Usage(prompt=1200, completion=90, cached=0, reasoning=0, raw=raw)
    return e.TurnEnded(
        trajectory=trajectory, index=index, at=at, seconds=2.0, usage=usage, content=content,
        finish_reason="tool_calls", cost=Decimal("0.0004"), price_version="bench",
    )  # fmt: skip


@dataclass(frozen=True)
class Recorded:
    """The time and CPU time of recording."""

    rows: int
    seconds: float
    cpu_seconds: float


def record(rollouts: Sequence[Rollout], *, threads: int) -> Recorded:
    """Records a trace for each claimed rollout, `threads` of them at a time, like a worker."""
    from rlm_runs.execution.group_commit import GroupCommit
    from rlm_runs.execution.recorder import Recorder

    commits = GroupCommit()

    def one(rollout: Rollout) -> None:
        recorder = Recorder(rollout)
        for events in steps(f"rollout {rollout.pk}"):
            commits.record(recorder, events)

    rows, cpu, began = _rows(), _cpu(), time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(one, rollouts))
    return Recorded(_rows() - rows, time.perf_counter() - began, _cpu() - cpu)


def insert_plainly(address: str) -> Recorded:
    """Copies the recorded rows, then inserts the same rows into empty tables of the same shape."""
    with psycopg.connect(address) as connection:
        columns, rows = {}, {}
        for table in TABLES:
            # Generated columns cannot be inserted.
            names = connection.execute(
                "SELECT column_name FROM information_schema.columns"
                " WHERE table_name = %s AND is_generated = 'NEVER' ORDER BY ordinal_position",
                [table],
            ).fetchall()
            columns[table] = ", ".join(f'"{name}"' for (name,) in names)
            texts = ", ".join(f'"{name}"::text' for (name,) in names)
            rows[table] = connection.execute(f"SELECT {texts} FROM {table}".encode()).fetchall()
            connection.execute(f"CREATE TABLE plain_{table} (LIKE {table} INCLUDING ALL)".encode())
        connection.commit()
        count, cpu, began = 0, _cpu(), time.perf_counter()
        for table in TABLES:
            one = f"({', '.join(['%s'] * (columns[table].count(',') + 1))})"
            for start in range(0, len(rows[table]), _ROWS_PER_STATEMENT):
                part = rows[table][start : start + _ROWS_PER_STATEMENT]
                statement = f"INSERT INTO plain_{table} ({columns[table]}) VALUES {', '.join([one] * len(part))}"
                cursor = psycopg.ClientCursor(connection)
                cursor.execute(statement.encode(), [value for row in part for value in row])
                connection.commit()
                count += len(part)
        taken = Recorded(count, time.perf_counter() - began, _cpu() - cpu)
        for table in TABLES:
            connection.execute(f"DROP TABLE plain_{table}".encode())
    return taken


@dataclass(frozen=True)
class Growth:
    """Seconds and megabytes of the halves of a long rollout, and seconds of its end."""

    seconds: tuple[float, float]
    megabytes: tuple[float, float]
    end_seconds: float


def record_long(rollout: Rollout, *, turns: int) -> Growth:
    """Records a rollout of `turns` turns. Returns its time and space."""
    from rlm_runs.execution.group_commit import GroupCommit
    from rlm_runs.execution.recorder import Recorder

    commits, recorder = GroupCommit(), Recorder(rollout)
    groups = list(steps(f"long rollout {rollout.pk}", cells=turns))
    middle = len(groups) // 2
    marks = [(time.perf_counter(), _stored_bytes())]
    for part in (groups[:middle], groups[middle:-1]):
        for events in part:
            commits.record(recorder, events)
        marks.append((time.perf_counter(), _stored_bytes()))
    began = time.perf_counter()
    commits.record(recorder, groups[-1])
    (t0, b0), (t1, b1), (t2, b2) = marks
    return Growth((t1 - t0, t2 - t1), ((b1 - b0) / 2**20, (b2 - b1) / 2**20), time.perf_counter() - began)


def _rows() -> int:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT " + " + ".join(f"(SELECT count(*) FROM {table})" for table in TABLES))
        return int(cursor.fetchone()[0])


def _stored_bytes() -> int:
    """Returns the bytes of the rows, with texts compressed."""
    from django.db import connection

    sums = " + ".join(f"(SELECT coalesce(sum(pg_column_size(r.*)), 0) FROM {table} r)" for table in TABLES)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {sums}")
        return int(cursor.fetchone()[0])


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def launch_experiment(rollouts: int) -> None:
    """Creates an experiment with this number of queued rollouts."""
    from rlm_runs.experiments.launch import launch

    launch(
        {
            "name": "ingest",
            "examples": rollouts,
            "models": ["demo-model"],
            "scaffolds": ["rlm"],
            "environments": [{"name": "verbatim-copy", "target_length": 200}],
        }
    )


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rollouts", type=int, default=300)
    parser.add_argument("--threads", type=int, default=64, help="rollouts that record at a time")
    parser.add_argument("--turns", type=int, default=200, help="turns of the long rollout")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        os.environ |= {"RLM_VAR_DIR": name, "RLM_SANDBOX": "process", "SECRET_KEY": "of the benchmark"}
        os.environ["DEMO_MODEL_URL"] = "http://127.0.0.1:1/v1"
        with served(rollouts=0, name="ingest") as address:
            for figure in _figures(arguments, address):
                show(figure, as_json=arguments.json)


def _figures(arguments: argparse.Namespace, address: str) -> Iterator[Figure]:
    from django.core.management import call_command
    from django.db import connection

    from rlm_runs.execution import queue

    launch_experiment(arguments.rollouts + 1)
    try:
        *rollouts, long = queue.claim(arguments.rollouts + 1)
        recorded = record(rollouts, threads=arguments.threads)
        plain = insert_plainly(address)
        growth = record_long(long, turns=arguments.turns)
        call_command("check_store", stdout=open(os.devnull, "w"))  # noqa: SIM115
    finally:
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE rlm_runs_experiment, rlm_runs_text CASCADE")
    rate, plain_rate = recorded.rows / recorded.seconds, plain.rows / plain.seconds
    per_rollout = recorded.cpu_seconds / len(rollouts)
    turns = arguments.turns
    yield Figure("rows recorded", rate, "/s", "least", LEAST_ROWS)
    yield Figure("rows recorded, beside INSERTs", rate, "/s", "plain INSERTs", plain_rate)
    yield Figure("rollouts recorded", 60 * len(rollouts) / recorded.seconds, "/min", "target", 600.0)
    yield Figure("CPU of recording per rollout", per_rollout, "s", "limit of a rollout", MOST_CPU_SECONDS)
    yield Figure(
        f"{turns} turns: time of the second half", growth.seconds[1], "s", "first half", growth.seconds[0]
    )
    yield Figure(
        f"{turns} turns: space of the second half", growth.megabytes[1], "MB", "first half", growth.megabytes[0]
    )
    yield Figure(f"{turns} turns: time of the end", growth.end_seconds, "s", "all turns", sum(growth.seconds))


if __name__ == "__main__":
    main()
