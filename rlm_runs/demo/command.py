"""`make demo` runs everything on this machine with one command, from the database to the dashboard.

It starts Postgres from a wheel, the simulated model, a Celery worker over a filesystem broker and the web server,
launches the demo experiment once, and shows its progress. Ctrl-C stops everything that it started; the next start
continues.
"""

from __future__ import annotations

import argparse
import fcntl
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ..embedded import EmbeddedPostgres

if TYPE_CHECKING:
    from ..models import Experiment

BASE_DIR = Path(__file__).resolve().parents[2]
VAR_DIR = Path(os.environ.get("RLM_VAR_DIR", BASE_DIR / "var"))
LOG_DIR = VAR_DIR / "log"
LOGIN = "demo"

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

console = Console(highlight=False)


class DemoError(Exception):
    """The demo cannot run. The message names what is missing and how to get it."""


def main() -> None:
    """Runs the demo until Ctrl-C. Exits with code 2 if something is missing."""
    arguments = _arguments()
    LOG_DIR.mkdir(parents=True, exist_ok=True)
    # SIGTERM and a closed terminal count as Ctrl-C. A shell ignores SIGINT for background processes, so the
    # handlers are set here.
    for one in _STOPPING:
        signal.signal(one, _interrupt)
    try:
        with ExitStack() as stack:
            stack.enter_context(_only_one())
            _run(stack, model=arguments.model, port=arguments.port)
    except KeyboardInterrupt:
        console.print("\nstopped; the next `make demo` goes on from here")
    except DemoError as error:
        console.print(f"[red]{error}[/red]")
        sys.exit(2)


def _interrupt(*_: object) -> None:
    """Raises KeyboardInterrupt once. A second Ctrl-C must not interrupt the shutdown."""
    for one in _STOPPING:
        signal.signal(one, signal.SIG_IGN)
    raise KeyboardInterrupt


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Runs the demo experiment and serves the dashboard.")
    parser.add_argument("--model", default="demo-model", help="a model of an OpenAI-compatible API")
    parser.add_argument("--port", type=int, default=8000, help="of the dashboard; the next free one is taken")
    return parser.parse_args()


@contextmanager
def _only_one() -> Iterator[None]:
    """Refuses a second demo over the same data."""
    with (VAR_DIR / "demo.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise DemoError(f"a demo is running already: {lock.read().strip()}") from None
        lock.truncate(0)
        yield


def _run(stack: ExitStack, *, model: str, port: int) -> None:
    _start_database(stack)
    _start_demo_model(stack)
    if model != "demo-model":
        extra = os.environ.get("RLM_EXTRA_MODELS", "")
        os.environ["RLM_EXTRA_MODELS"] = f"{extra},{model}" if extra else model
    _set_up_django()
    _choose_sandbox()
    password = _ensure_login()
    port = _free_port(port)
    address = f"http://127.0.0.1:{port}/"
    children = [_Child("worker", _worker_command()), _Child("web", _web_command(port))]
    for child in children:
        stack.enter_context(child)
    _wait_until_served(address, children[1])
    experiment = _experiment(model)
    (VAR_DIR / "demo.lock").write_text(address)
    console.print(f"dashboard   [bold]{address}[/bold]")
    console.print(
        f"login       [bold]{LOGIN}[/bold] / [bold]{password}[/bold]   (kept in {_shown(_login_file())})"
    )
    console.print("Ctrl-C stops everything\n")
    _follow(experiment, children)


def _start_database(stack: ExitStack) -> None:
    if os.environ.get("DATABASE_URL"):
        console.print("database    that of DATABASE_URL")
        return
    postgres = EmbeddedPostgres(VAR_DIR)
    stack.callback(postgres.stop)
    os.environ["DATABASE_URL"] = postgres.url
    console.print(f"database    embedded Postgres, data in {_shown(VAR_DIR / 'postgres')}")


def _start_demo_model(stack: ExitStack) -> None:
    port_file = VAR_DIR / "demo-model.port"
    port_file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "rlm_runs.demo.simulated_model", "--port", "0", "--port-file", str(port_file)]
    child = stack.enter_context(_Child("demo-model", command))
    _wait_for(port_file.exists, child)
    os.environ["DEMO_MODEL_URL"] = f"http://127.0.0.1:{port_file.read_text().strip()}/v1"


def _set_up_django() -> None:
    """Sets up Django. Called after the addresses are known, because the settings read them."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rlm_runs.settings")
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)


def _choose_sandbox() -> None:
    """Chooses the sandbox once, so that the worker and the web server agree, and reports the choice."""
    from sandbox.backends import docker_available

    from ..execution import sandboxes

    logging.getLogger("sandbox").setLevel(logging.WARNING)  # the demo reports it in other words
    answers, reason = docker_available()
    if answers:
        console.print("sandbox     Docker, making its image where it is not there yet …")
    backend = sandboxes.backend()
    os.environ["RLM_SANDBOX"] = backend.name
    if backend.name == "docker":
        console.print("sandbox     Docker")
    else:
        why = "as RLM_SANDBOX says" if answers else reason
        console.print(f"sandbox     process, without walls ({why})")


def _ensure_login() -> str:
    """Returns the password of the demo's user, which is random and created at the first start."""
    from django.contrib.auth.models import User

    user, created = User.objects.get_or_create(username=LOGIN, defaults={"is_staff": True, "is_superuser": True})
    path = _login_file()
    if not created and path.exists():
        return path.read_text().split()[-1]
    password = secrets.token_urlsafe(12)
    user.set_password(password)
    user.save()
    path.touch(mode=0o600)
    path.write_text(f"{LOGIN} {password}\n")
    return password


def _login_file() -> Path:
    return VAR_DIR / "login.txt"


def _worker_command() -> list[str]:
    return [
        *(sys.executable, "-m", "celery", "--app", "rlm_runs.celery", "worker"),
        *("--pool", "threads", "--concurrency", "16", "--loglevel", "INFO"),
    ]


def _web_command(port: int) -> list[str]:
    return [
        *(sys.executable, "-m", "gunicorn", "rlm_runs.wsgi", "--bind", f"127.0.0.1:{port}"),
        *("--worker-class", "gthread", "--threads", "8", "--access-logfile", "-"),
        *("--logger-class", "rlm_runs.observability.web_log.GunicornLogger"),
    ]


def _experiment(model: str) -> Experiment:
    """Returns the demo experiment of this model: the existing one, or a new one."""
    from ..experiments.launch import SpecError, launch
    from ..models import Experiment

    raw: Mapping[str, Any] = tomllib.loads((BASE_DIR / "specs/demo.toml").read_text())
    spec = {**raw, "models": [model]}
    if model != "demo-model":
        spec["name"] = f"{raw['name']} {model}"
    there = Experiment.objects.filter(name=spec["name"]).order_by("id").first()
    if there is not None:
        return there
    try:
        return launch(spec)
    except SpecError as error:
        raise DemoError(f"the demo experiment cannot be launched:\n{error}") from error


def _follow(experiment: Experiment, children: list[_Child]) -> None:
    """Shows the rollouts' progress and restarts processes that die. Ends only by Ctrl-C."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[notes]}"),
    )
    total = experiment.rollouts().count()
    told = -1
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(experiment.name, total=total, notes="")
        while True:
            done, notes = _progress_of(experiment)
            progress.update(task, completed=done, notes=notes)
            if done != told and (done == total or (not console.is_terminal and done >= told + total / 10)):
                told = done
                console.print(f"{experiment.name}: {done}/{total} rollouts, {notes}")
                if done == total:
                    progress.stop_task(task)
                    console.print("all rollouts have ended; the dashboard stays up")
            for child in children:
                child.restart_if_dead()
            time.sleep(1)


def _progress_of(experiment: Experiment) -> tuple[int, str]:
    from django.db.models import Count, Q, Sum

    found = experiment.rollouts().aggregate(
        done=Count("id", filter=Q(status__in=["completed", "failed", "cancelled"])),
        running=Count("id", filter=Q(status="running")),
        failed=Count("id", filter=Q(status="failed")),
        cost=Sum("cost"),
    )
    notes = f"{found['running']} running" + (f", {found['failed']} without a reward" if found["failed"] else "")
    if found["cost"] is None and found["done"]:
        return found["done"], f"{notes}, unpriced"
    return found["done"], f"{notes}, ${found['cost'] or 0:.4f}"


class _Child:
    """A process of the demo. Its output goes to a log file, and it stops with the demo."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name = name
        self._command = command
        self._log: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log_path(self) -> Path:
        return LOG_DIR / f"{self.name}.log"

    def __enter__(self) -> _Child:
        self._log = self.log_path.open("ab")
        self._start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._end_orphans()
        if self._log is not None:
            self._log.close()

    @property
    def dead(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def restart_if_dead(self) -> None:
        if self.dead:
            self._end_orphans()
            console.print(f"the {self.name} ended and is started again; its log is {_shown(self.log_path)}")
            self._start()

    def _end_orphans(self) -> None:
        """Ends the processes left in its session, because a killed worker leaves its sandboxes."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _start(self) -> None:
        # The separate session shields the child from Ctrl-C in the terminal. The demo stops its children in order.
        self._process = subprocess.Popen(
            self._command, cwd=BASE_DIR, stdout=self._log, stderr=subprocess.STDOUT, start_new_session=True
        )


def _wait_until_served(address: str, web: _Child) -> None:
    host, port = address.removeprefix("http://").rstrip("/").split(":")

    def answers() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((host, int(port))) == 0

    _wait_for(answers, web)


def _wait_for(ready: Any, child: _Child, *, seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not ready():
        if child.dead or time.monotonic() > until:
            raise DemoError(f"the {child.name} did not start; its log is {_shown(child.log_path)}")
        time.sleep(0.05)


def _free_port(first: int) -> int:
    for port in range(first, first + 50):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise DemoError(f"no port from {first} to {first + 49} is free; choose another: make demo PORT=…")


def _shown(path: Path) -> str:
    """Returns a path for display: relative if it is inside the checkout."""
    return str(path.relative_to(BASE_DIR)) if path.is_relative_to(BASE_DIR) else str(path)
