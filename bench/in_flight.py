"""Rollouts in flight: how many one worker process runs at once, and what a waiting rollout costs.

    python -m bench.in_flight [--rollouts 1500] [--slots 1000] [--scaffold llm] [--json]
    python -m bench.in_flight --sandbox docker [--rollouts 600] [--slots 400] [--json]

The model takes two seconds per answer. Rollouts at once are compared with the number of slots; threads, memory,
database connections and CPU time with the limits that the design sets; the rate with slots ÷ latency. With Docker,
rollouts are RLMs, each with a container from its first cell on; 400 of them need 16 GB.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.filled_store import served
from bench.report import Figure, show
from sandbox.containers import OWNER_LABEL
from sandbox.docker_backend import open_client

LATENCY = 2.0
MOST_THREADS = 3.0
MOST_MB = 1.0
MOST_CONNECTIONS = 16.0
MOST_CPU_SECONDS = 0.05
MOST_CONTAINER_MB = 40.0
"""Host memory of a container with its overhead in MB, by the worker's estimate."""
_LONGEST = 300.0


@dataclass
class Peak:
    """The highest values seen while the worker ran."""

    running: int = 0
    threads: int = 0
    megabytes: int = 0
    connections: int = 0
    idle_megabytes: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    containers: int = 0
    host_megabytes: int = 0
    """Growth of the machine's used memory since the start."""


@contextmanager
def simulated_model(folder: Path) -> Iterator[None]:
    """Runs a simulated model that takes two seconds, at the address that the settings read."""
    port_file = folder / "port"
    command = [sys.executable, "-m", "rlm_runs.demo.simulated_model", "--port", "0", "--port-file", str(port_file)]
    model = subprocess.Popen([*command, "--latency", str(LATENCY), "--jitter", "0"], stdout=subprocess.DEVNULL)
    try:
        while not port_file.exists():
            time.sleep(0.05)
        os.environ["DEMO_MODEL_URL"] = f"http://127.0.0.1:{port_file.read_text().strip()}/v1"
        yield
    finally:
        model.kill()
        model.wait()


def measure(*, rollouts: int, slots: int, scaffold: str, folder: Path) -> Peak:
    """Launches an experiment, runs it in one worker process, and watches the process."""
    from django.db.models import Count

    from rlm_runs.experiments.launch import launch

    docker = open_client() if os.environ["RLM_SANDBOX"] == "docker" else None
    experiment = launch(
        {
            "name": "in flight",
            "examples": rollouts,
            "models": ["demo-model"],
            "scaffolds": [scaffold],
            "environments": [{"name": "verbatim-copy", "target_length": 200}],
        }
    )
    command = [sys.executable, "-m", "celery", "--app", "rlm_runs.celery", "worker", "--concurrency", str(slots)]
    peak, began, available = Peak(), time.monotonic(), _available_megabytes()
    with (folder / "worker.log").open("w") as log:
        worker = subprocess.Popen([*command, "--loglevel", "WARNING"], stdout=log, stderr=subprocess.STDOUT)
    try:
        while time.monotonic() - began < _LONGEST:
            time.sleep(0.25)
            counts = dict(experiment.rollouts().values_list("status").annotate(Count("id")).order_by())
            _look(worker.pid, counts.get("running", 0), peak)
            peak.host_megabytes = max(peak.host_megabytes, available - _available_megabytes())
            if docker is not None:
                peak.containers = max(peak.containers, len(docker.containers(filters={"label": OWNER_LABEL})))
            if not counts.get("queued") and not counts.get("running"):
                break
        peak.seconds = time.monotonic() - began
    finally:
        worker.terminate()
        worker.wait()
        experiment.delete()
        if docker is not None:
            docker.close()
    return peak


def _available_megabytes() -> int:
    values = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    return int(values["MemAvailable"].split()[0]) // 1024


def _look(pid: int, running: int, peak: Peak) -> None:
    from django.db import connection

    status = Path(f"/proc/{pid}/status").read_text()
    values = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    threads, megabytes = int(values["Threads"]), int(values["VmRSS"].split()[0]) // 1024
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        connections = cursor.fetchone()[0]
    if running == 0 and peak.running == 0:
        peak.idle_megabytes = max(peak.idle_megabytes, megabytes)
    peak.running = max(peak.running, running)
    peak.threads = max(peak.threads, threads)
    peak.megabytes = max(peak.megabytes, megabytes)
    peak.connections = max(peak.connections, connections)
    times = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    peak.cpu_seconds = (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rollouts", type=int, help="1500; with Docker 600")
    parser.add_argument("--slots", type=int, help="1000; with Docker 400")
    parser.add_argument("--scaffold", help="llm; with Docker rlm, which needs a sandbox per rollout")
    parser.add_argument("--sandbox", choices=["process", "docker"], default="process")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    arguments = parser.parse_args()
    has_containers = arguments.sandbox == "docker"
    arguments.rollouts = arguments.rollouts or (600 if has_containers else 1500)
    arguments.slots = arguments.slots or (400 if has_containers else 1000)
    arguments.scaffold = arguments.scaffold or ("rlm" if has_containers else "llm")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ |= {"RLM_VAR_DIR": name, "RLM_SANDBOX": arguments.sandbox, "SECRET_KEY": "of the benchmark"}
        with simulated_model(folder), served(rollouts=0, name="in_flight"):
            peak = measure(
                rollouts=arguments.rollouts, slots=arguments.slots, scaffold=arguments.scaffold, folder=folder
            )
    waiting = max(peak.running, 1)
    grown = max(peak.megabytes - peak.idle_megabytes, 0)
    cpu, rate = peak.cpu_seconds / arguments.rollouts, 60 * arguments.rollouts / peak.seconds
    figures = [
        Figure("rollouts at once", peak.running, "", "slots", arguments.slots),
        Figure("threads per waiting rollout", peak.threads / waiting, "", "limit", MOST_THREADS),
        Figure("worker memory per waiting rollout", grown / waiting, "MB", "limit", MOST_MB),
        Figure("database connections", peak.connections, "", "limit", MOST_CONNECTIONS),
        Figure("CPU of the worker per rollout", cpu, "s", "limit", MOST_CPU_SECONDS),
        Figure("rollouts a minute", rate, "/min", "slots ÷ latency", 60 * arguments.slots / LATENCY),
    ]
    if has_containers:
        per_container = (peak.host_megabytes - peak.megabytes) / max(peak.containers, 1)
        figures += [
            Figure("containers at once", peak.containers, "", "slots", arguments.slots),
            Figure("host memory per container", per_container, "MB", "limit", MOST_CONTAINER_MB),
        ]
    for figure in figures:
        show(figure, as_json=arguments.json)


if __name__ == "__main__":
    main()
