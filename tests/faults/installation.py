"""An installation under load: parts that can be broken, workers, and what a fault costs."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from tests.end_to_end.system import System
from tests.faults.checks import Findings, examine
from tests.faults.load import Load
from tests.faults.parts import Database

SPEC = """
name = "faults"
examples = {examples}
seed = {seed}
models = ["some-model"]
scaffolds = ["rlm"]
environments = [{{ name = "verbatim-copy", target_length = 60 }}]
"""
LEFT = "SELECT count(*) FROM rlm_runs_rollout WHERE status IN ('queued', 'running')"
TURNS = "SELECT count(*) FROM rlm_runs_turn"
RESUMED_WITHIN = 10.0
"""Seconds from the end of a fault until work goes on: the design's figure."""


class Installation:
    """A system over a database of the test's own. `address` is of a migrated, empty database."""

    def __init__(self, folder: Path, *, database: Database, address: str, load: Load, **variables: str) -> None:
        self.database = database
        self.load = load
        self.address = address
        self.rollouts = 0
        self.system = System(
            folder,
            variables={
                "DATABASE_URL": address,
                "OPENAI_BASE_URL": load.url,
                "RLM_EXTRA_MODELS": "some-model",
                "RLM_PROCESS_SANDBOX_MODELS": "some-model",
                "RLM_SANDBOX": "process",
                **variables,
            },
        )

    def start_worker(self, *, concurrency: int = 4, host: str = "") -> subprocess.Popen[bytes]:
        """Starts a worker. Returns once it claims."""
        worker = self.system.start_worker(concurrency=concurrency, host=host)
        registered = f"SELECT count(*) FROM rlm_runs_workerprocess WHERE pid = {worker.pid} AND stopped_at IS NULL"
        self.system.wait_for(lambda: self.count(registered) > 0)
        return worker

    def launch(self, examples: int) -> None:
        path = self.system.var_dir / "spec.toml"
        # Other examples each time: the load tells rollouts apart by them.
        path.write_text(SPEC.format(examples=examples, seed=self.rollouts + 1))
        self.system.manage("launch", str(path), "--no-probe")  # a probe's answer is of no rollout
        self.rollouts += examples

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a query, once the server answers."""
        until = time.monotonic() + 60
        while True:
            try:
                with psycopg.connect(self.address) as connection:
                    return connection.execute(sql.encode()).fetchall()
            except psycopg.OperationalError:
                assert time.monotonic() < until, "the database does not come back"
                time.sleep(0.1)

    def count(self, sql: str) -> int:
        return int(self.ask(sql)[0][0])

    def wait_for_turns(self, number: int) -> None:
        """Waits until so many turns are stored."""
        self.system.wait_for(lambda: self.count(TURNS) >= number)

    def time_to_resume(
        self, fault: str, holds: Callable[[], bool] | None = None, *, quietly: bool = False
    ) -> float:
        """Returns the seconds until a further turn is committed, or until `holds`. Called as the fault ends."""
        began, before = time.monotonic(), self.count(TURNS)

        def goes_on() -> bool:
            return self.count(TURNS) > before or self.count(LEFT) == 0

        self.system.wait_for(holds or goes_on, seconds=60)
        seconds = time.monotonic() - began
        if not quietly:
            print(f"{fault}: work goes on after {seconds:.1f} s")
        return seconds

    def wait_until_ended(self, *, seconds: float = 120) -> None:
        self.system.wait_for(lambda: self.count(LEFT) == 0, seconds=seconds)

    def examine(self) -> Findings:
        """Examines the store, by its own command and by other SQL."""
        found = examine(self.ask, self.load, rollouts=self.rollouts)
        try:
            self.system.manage("check_store")
        except AssertionError as error:
            found.problems.append(f"check_store: {str(error)[-300:]}")
        return found

    def is_taken_up(self, worker: subprocess.Popen[bytes]) -> bool:
        """Whether no rollout is held by a worker that died, whatever its host was called."""
        held = f"SELECT count(*) FROM rlm_runs_rollout WHERE status = 'running' AND worker LIKE '%:{worker.pid}'"
        return self.count(held) == 0

    def stop(self) -> None:
        self.system.stop()


def kill_group(worker: subprocess.Popen[bytes]) -> None:
    """Ends a worker and whatever is in its process group, without a word."""
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
