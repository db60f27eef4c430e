"""Rollouts per minute through Celery, Docker and Postgres, compared with the sandbox alone.

    python -m bench.rollouts [--rollouts 100] [--slots 8] [--sandbox docker] [--json]

A rollout has ten cells, one of which calls sixteen sub-LLMs; the model answers at once. The reference runs the
same cells and batches directly in the sandbox, in the same run, with the same concurrency. They alternate, so that
other load on the machine affects both equally.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bench.filled_store import served
from bench.instant_model import CELLS, SUB_CALLS, instant_model
from bench.report import Figure, show
from sandbox.backends import BackendName, open_backend
from sandbox.contract import Backend, Batch, SandboxSpec
from sandbox.settings import SandboxSettings

LEAST_RATIO = 0.75
TARGET = 600.0
MOST_CPU_SECONDS = 0.05
_ROUNDS = 3
_LONGEST = 600.0


@dataclass(frozen=True)
class Ran:
    """Completed rollouts, the seconds from the first start to the last end, and the worker's CPU time in them."""

    rollouts: int
    seconds: float
    cpu_seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Rollouts per minute."""
        return 60 * self.rollouts / self.seconds


def run_in_sandboxes(backend: Backend, *, rollouts: int, slots: int) -> Ran:
    """Runs the same cells and batches in the sandbox alone."""

    def one(_: int) -> None:
        sandbox = backend.start(SandboxSpec())
        sandbox.load({})
        for code in CELLS:
            result = sandbox.execute(code, time_limit=60, on_batch=_answer)
            if result.error is not None:
                raise RuntimeError(result.error.message)
        sandbox.close()

    began = time.perf_counter()
    with ThreadPoolExecutor(slots) as pool:
        list(pool.map(one, range(rollouts)))
    return Ran(rollouts, time.perf_counter() - began)


def _answer(batch: Batch) -> None:
    for index in range(len(batch.prompts)):
        batch.answer(index, "two")
    batch.finish("")


class Worker:
    """A worker process, warm after a few rollouts."""

    def __init__(self, *, slots: int, log: Path) -> None:
        command = [
            sys.executable,
            "-m",
            "celery",
            "--app",
            "rlm_runs.celery",
            "worker",
            "--concurrency",
            str(slots),
        ]
        with log.open("w") as file:
            self._process = subprocess.Popen(
                [*command, "--loglevel", "WARNING"], stdout=file, stderr=subprocess.STDOUT
            )

    def run(self, *, rollouts: int) -> Ran:
        """Launches an experiment and waits for its end. Raises RuntimeError if a rollout does not complete."""
        from django.db.models import Count, Max, Min

        from rlm_runs.experiments.launch import launch

        cpu = self._cpu_seconds()
        experiment = launch(
            {
                "name": "rollouts",
                "examples": rollouts,
                "models": ["instant"],
                "scaffolds": ["rlm"],
                "environments": [{"name": "verbatim-copy", "target_length": 200}],
            }
        )
        until = time.monotonic() + _LONGEST
        while experiment.rollouts().unfinished().exists():
            if time.monotonic() > until or self._process.poll() is not None:
                raise RuntimeError("the rollouts do not end")
            time.sleep(0.1)
        ended = dict(experiment.rollouts().values_list("status").annotate(Count("id")).order_by())
        calls = set(experiment.rollouts().values_list("cells", "sub_calls"))
        if ended != {"completed": rollouts} or calls != {(len(CELLS), SUB_CALLS)}:
            raise RuntimeError(f"the rollouts ended as {ended}, with cells and sub-calls {calls}")
        times = experiment.rollouts().aggregate(began=Min("started_at"), ended=Max("finished_at"))
        seconds = (times["ended"] - times["began"]).total_seconds()
        cpu = self._cpu_seconds() - cpu
        experiment.delete()
        return Ran(rollouts, seconds, cpu)

    def _cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """Ends the worker."""
        self._process.terminate()
        self._process.wait()


def figures(*, rollouts: int, slots: int, sandbox: BackendName, folder: Path) -> Iterator[Figure]:
    """Yields the figures of both, alternating."""
    from django.db import connection

    with connection.cursor() as cursor:  # left by an interrupted run
        cursor.execute("TRUNCATE rlm_runs_experiment CASCADE")
    settings = SandboxSettings.from_environment({**os.environ, "SANDBOX_STATE_DIR": str(folder / "floor")})
    backend = open_backend(sandbox, settings)
    worker = Worker(slots=slots, log=folder / "worker.log")
    ours, floor = [], []
    try:
        backend.prepare(())
        worker.run(rollouts=slots)
        run_in_sandboxes(backend, rollouts=slots, slots=slots)
        for _ in range(_ROUNDS):
            floor.append(run_in_sandboxes(backend, rollouts=rollouts, slots=slots))
            ours.append(worker.run(rollouts=rollouts))
    finally:
        worker.stop()
        backend.close()
    rate = statistics.median(one.rate for one in ours)
    cpu = sum(one.cpu_seconds for one in ours) / sum(one.rollouts for one in ours)
    yield Figure("rollouts of 10 cells and 16 sub-calls", rate, "/min", "target", TARGET)
    floor_rate = statistics.median(one.rate for one in floor)
    yield Figure("rollouts, beside the sandbox alone", rate, "/min", "sandbox alone", floor_rate)
    yield Figure("the same ratio, beside what is wanted", rate / floor_rate, "", "least", LEAST_RATIO)
    yield Figure("CPU of the worker per rollout", cpu, "s", "limit", MOST_CPU_SECONDS)


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rollouts", type=int, default=100, help="per round; there are three")
    parser.add_argument("--slots", type=int, default=8, help="rollouts at a time")
    parser.add_argument("--sandbox", choices=["docker", "process"], default="docker")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ |= {"RLM_VAR_DIR": name, "RLM_SANDBOX": arguments.sandbox, "SECRET_KEY": "of the benchmark"}
        os.environ |= {"RLM_EXTRA_MODELS": "instant", "RLM_PROCESS_SANDBOX_MODELS": "instant"}
        with instant_model(folder), served(rollouts=0, name="rollouts"):
            for figure in figures(
                rollouts=arguments.rollouts, slots=arguments.slots, sandbox=arguments.sandbox, folder=folder
            ):
                show(figure, as_json=arguments.json)


if __name__ == "__main__":
    main()
