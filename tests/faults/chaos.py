"""Chaos: a system under load whose parts break at random moments, and the checks of what is left.

    python -m tests.faults.chaos [--minutes 5] [--seed N] [--sandbox process|docker] [--json]

Workers are killed, told to stop, frozen and lost with their machine; the broker is emptied, restarted, frozen and
away; Postgres crashes, is away, frozen and out of disk; the container engine restarts and crashes. Then everything
settles, and the checks of `checks.py` say what was lost. The same seed breaks the same parts after the same
pauses. Needs root, for host names, the small disk and the engine of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.report import Figure, show
from tests.end_to_end.system import ROOT
from tests.faults.installation import RESUMED_WITHIN, Installation, kill_group
from tests.faults.load import Load
from tests.faults.parts import Broker, Database, Engine, SmallDisk, open_folder

WORKERS, CONCURRENCY = 2, 8
_BATCH = 60
"""Rollouts of one launch; the next comes when fewer than a third of it are queued."""
_DISK_MB = 2048
_SETTLE_SECONDS = 300.0


@dataclass
class Chaos:
    """A running installation and the faults that it meets. Each fault ends with its part mended."""

    installation: Installation
    disk: SmallDisk
    broker: Broker
    engine: Engine | None
    random: random.Random
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    resumed: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    problems: list[str] = field(default_factory=list)
    killed: int = 0

    # -- the faults

    def kill_worker(self) -> None:
        kill_group(self._replaced())

    def lose_machine(self) -> None:
        worker = self._replaced()
        kill_group(worker)

    def stop_worker(self) -> None:
        worker = self._replaced()
        worker.send_signal(signal.SIGTERM)
        try:
            worker.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.problems.append("a worker did not stop within a minute")
            kill_group(worker)

    def freeze_worker(self) -> None:
        """For longer than its lease or not."""
        worker = self.random.choice(self.workers)
        worker.send_signal(signal.SIGSTOP)
        self._pause(1, 15)
        worker.send_signal(signal.SIGCONT)

    def empty_broker(self) -> None:
        self.broker.empty()

    def restart_broker(self) -> None:
        self.broker.crash()
        self.broker.start()

    def lose_broker(self) -> None:
        self.broker.crash()
        self._pause(2, 60)
        self.broker.start()

    def freeze_broker(self) -> None:
        self.broker.freeze()
        self._pause(2, 30)
        self.broker.thaw()

    def crash_database(self) -> None:
        self.installation.database.restart()

    def lose_database(self) -> None:
        self.installation.database.crash()
        self._pause(1, 30)
        self.installation.database.start()

    def freeze_database(self) -> None:
        self.installation.database.freeze()
        self._pause(1, 15)
        self.installation.database.thaw()

    def fill_disk(self) -> None:
        self.disk.fill()
        self._pause(1, 10)
        self.disk.free()
        if not self.installation.database.is_running():  # it had no space for its log of changes
            self.installation.database.start()

    def restart_engine(self) -> None:
        assert self.engine is not None
        self.engine.restart(away=self.random.uniform(0, 10))

    def crash_engine(self) -> None:
        assert self.engine is not None
        self.engine.crash()
        self._pause(0, 10)
        self.engine.start()

    def faults(self) -> list[tuple[str, Callable[[], None]]]:
        """The faults by name. The order is fixed, so that a seed means the same on every run."""
        found = [
            ("worker killed", self.kill_worker),
            ("machine lost", self.lose_machine),
            ("worker stopped", self.stop_worker),
            ("worker frozen", self.freeze_worker),
            ("broker emptied", self.empty_broker),
            ("broker restarted", self.restart_broker),
            ("broker away", self.lose_broker),
            ("broker frozen", self.freeze_broker),
            ("Postgres crashed", self.crash_database),
            ("Postgres away", self.lose_database),
            ("Postgres frozen", self.freeze_database),
            ("disk full", self.fill_disk),
        ]
        if self.engine is not None:
            found += [("engine restarted", self.restart_engine), ("engine crashed", self.crash_engine)]
        return found

    # -- the course of events

    def run(self, *, seconds: float) -> None:
        """Breaks one part after the other, now and then two at once."""
        until = time.monotonic() + seconds
        for _ in range(WORKERS):
            self.workers.append(self._start_worker())
        faults = self.faults()
        while time.monotonic() < until:
            self._feed()
            time.sleep(self.random.uniform(1, 6))
            chosen = self.random.sample(faults, 2 if self.random.random() < 0.25 else 1)
            self._break(chosen)
            self._replace_dead()

    def _break(self, chosen: list[tuple[str, Callable[[], None]]]) -> None:
        name = " + ".join(sorted(name for name, _ in chosen))
        print(f"{time.strftime('%H:%M:%S')} {name}", file=sys.stderr, flush=True)
        threads = [threading.Thread(target=fault) for _, fault in chosen]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._feed()
        try:
            self.resumed[name].append(self.installation.time_to_resume(name, quietly=True))
        except AssertionError:
            self.problems.append(f"nothing was recorded for a minute after: {name}")

    def _feed(self) -> None:
        if self.installation.count("SELECT count(*) FROM rlm_runs_rollout WHERE status = 'queued'") < _BATCH / 3:
            self.installation.launch(_BATCH)

    def settle(self) -> None:
        """Waits until every rollout has ended."""
        self._replace_dead()
        try:
            self.installation.wait_until_ended(seconds=_SETTLE_SECONDS)
        except AssertionError:
            self.problems.append("rollouts do not end")

    def _replaced(self) -> subprocess.Popen[bytes]:
        """A worker that is about to end; another one has started in its place."""
        worker = self.workers.pop(self.random.randrange(len(self.workers)))
        self.workers.append(self._start_worker())
        self.killed += 1
        return worker

    def _start_worker(self) -> subprocess.Popen[bytes]:
        """Every worker is on a machine of its own, so that only its lease says that it lives."""
        return self.installation.system.start_worker(
            concurrency=CONCURRENCY, host=f"machine-{self.random.randrange(10**6)}"
        )

    def _replace_dead(self) -> None:
        for worker in [worker for worker in self.workers if worker.poll() is not None]:
            self.problems.append(f"a worker ended by itself with code {worker.returncode}")
            self.workers.remove(worker)
            self.workers.append(self._start_worker())

    def _pause(self, least: float, most: float) -> None:
        time.sleep(self.random.uniform(least, most))


@contextmanager
def opened(*, seed: int, sandbox: str) -> Iterator[Chaos]:
    """The parts, all of this process's own, and ended with the block."""
    with ExitStack() as stack:
        folder = stack.enter_context(open_folder())
        disk = SmallDisk(folder / "disk", megabytes=_DISK_MB)
        stack.callback(disk.remove)
        database = Database(disk.folder)
        stack.callback(database.stop)
        stack.callback(disk.free)
        broker = Broker(folder)
        stack.callback(broker.stop)
        engine = Engine() if sandbox == "docker" else None
        if engine is not None:
            stack.callback(engine.stop)
        load = stack.enter_context(Load(latency=0.5))
        variables = engine.variables if engine else {}
        (folder / "system").mkdir()
        installation = Installation(
            folder / "system",
            database=database,
            address=database.fresh("chaos"),
            load=load,
            CELERY_BROKER_URL=broker.url,
            **variables,
        )
        stack.callback(installation.stop)
        installation.system.manage("migrate", "--verbosity", "0")
        yield Chaos(installation, disk, broker, engine, random.Random(seed))
        installation.stop()
        shutil.copy(installation.system.var_dir / "worker.log", Path(tempfile.gettempdir()) / f"chaos-{seed}.log")


def report(chaos: Chaos, *, seconds: float, as_json: bool) -> bool:
    """Prints the figures. Returns whether all is well."""
    found = chaos.installation.examine()
    chaos.installation.stop()
    left = len(chaos.engine.containers()) if chaos.engine else 0
    if left:
        time.sleep(10)
        left = len(chaos.engine.containers()) if chaos.engine else 0
    problems = chaos.problems + found.problems + ([f"{left} containers are left"] if left else [])
    waits = [wait for times in chaos.resumed.values() for wait in times]
    for name, times in sorted(chaos.resumed.items()):
        show(Figure(f"after {name}: work goes on", max(times), "s", "limit", RESUMED_WITHIN), as_json=as_json)
    for figure in (
        Figure("faults", len(waits), "", "minutes", seconds / 60),
        Figure("work goes on, median", statistics.median(waits or [0.0]), "s", "limit", RESUMED_WITHIN),
        Figure("rollouts that ended once", found.rollouts, "", "launched", chaos.installation.rollouts or 1),
        Figure("attempts", found.attempts, "", "rollouts", found.rollouts or 1),
        Figure("turns stored", found.turns, "", "replies given", found.replies or 1),
        Figure("replies in flight when a worker ended", found.unstored, "", "workers ended", chaos.killed or 1),
        Figure("asked again though stored", found.asked_again, "", "turns stored", found.turns or 1),
        Figure("problems", len(problems), "", "faults", len(waits) or 1),
    ):
        show(figure, as_json=as_json)
    for problem in problems:
        print(json.dumps({"problem": problem}) if as_json else f"problem: {problem}")
    return not problems


def main() -> None:
    """Runs it; the exit code says whether all is well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--sandbox", choices=["process", "docker"], default="process")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", file=sys.stderr)
    os.chdir(ROOT)
    with opened(seed=arguments.seed, sandbox=arguments.sandbox) as chaos:
        chaos.run(seconds=60 * arguments.minutes)
        chaos.settle()
        well = report(chaos, seconds=60 * arguments.minutes, as_json=arguments.json)
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
