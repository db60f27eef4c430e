"""The whole program as users run it: worker, launch command, web server and model server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlm_runs.models import Experiment, Rollout

ROOT = Path(__file__).resolve().parents[2]


class System:
    """Processes that share an environment: the test's database, a broker, and endpoints. `stop` ends them."""

    def __init__(self, var_dir: Path, *, variables: Mapping[str, str]) -> None:
        self.root = ROOT
        self.var_dir = var_dir
        self.variables = {
            **os.environ,
            "RLM_VAR_DIR": str(var_dir),
            "RLM_LEASE_SECONDS": "4",
            "RLM_SWEEP_SECONDS": "1",
            "SECRET_KEY": "of the tests",
            **({} if "DATABASE_URL" in variables else {"DATABASE_URL": _database_url()}),
            **variables,
        }
        self._processes: list[subprocess.Popen[bytes]] = []

    def start_worker(self, *, concurrency: int = 4, host: str = "") -> subprocess.Popen[bytes]:
        """A Celery worker as `make demo` starts it; with `host`, on a machine of that name."""
        return self._start(
            "worker",
            *("celery", "--app", "rlm_runs.celery", "worker", "--pool", "threads"),
            *("--concurrency", str(concurrency), "--loglevel", "INFO"),
            host=host,
        )

    def start_web(self, port: int) -> subprocess.Popen[bytes]:
        """The web server as `make demo` starts it."""
        return self._start(
            "web",
            "gunicorn",
            "rlm_runs.wsgi",
            "--bind",
            f"127.0.0.1:{port}",
            "--worker-class",
            "gthread",
            "--threads",
            "4",
        )

    def launch(self, spec: str, *options: str) -> Experiment:
        """`manage.py launch` of a TOML text, with options."""
        path = self.var_dir / "spec.toml"
        path.write_text(spec)
        return self.launch_by(str(path), *options)

    def launch_by(self, *arguments: str) -> Experiment:
        """`manage.py launch` with these arguments, without asking the models: their answers are scripted."""
        from rlm_runs.models import Experiment

        told = self.manage("launch", *arguments, *(() if "--no-probe" in arguments else ("--no-probe",)))
        slug = told.split()[1].rstrip(":")
        return Experiment.objects.get(slug=slug)

    def manage(self, *arguments: str) -> str:
        """A management command; what it printed. Raises where it fails."""
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=self.variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def wait_until_ended(self, experiment: Experiment, *, seconds: float = 120) -> list[Rollout]:
        """Waits until each rollout has ended and returns them."""
        self.wait_for(lambda: not experiment.rollouts().unfinished().exists(), seconds=seconds)
        return list(experiment.rollouts().select_related("arm").order_by("id"))

    def wait_for(self, holds: Callable[[], Any], *, seconds: float = 60) -> None:
        """Waits until something holds. The worker's log is in the failure."""
        until = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < until, self.log("worker")[-5000:]
            time.sleep(0.1)

    def log(self, name: str) -> str:
        """What a process wrote so far."""
        path = self.var_dir / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def stop(self) -> None:
        """Ends every process."""
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            with suppress(ProcessLookupError):  # a worker that was killed leaves its beat behind
                os.killpg(process.pid, signal.SIGKILL)

    def _start(self, name: str, *module_and_arguments: str, host: str = "") -> subprocess.Popen[bytes]:
        elsewhere = ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', host] if host else []
        with (self.var_dir / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [*elsewhere, sys.executable, "-m", *module_and_arguments],
                cwd=ROOT,
                env=self.variables,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._processes.append(process)
        return process


def _database_url() -> str:
    """The address of the database that this test has."""
    from django.db import connection

    of_test = connection.settings_dict
    return f"host={of_test['HOST']} user={of_test['USER']} dbname={of_test['NAME']}"
