"""The process backend: the same supervisor as a plain subprocess, for machines without a container engine.

It keeps the contract (state, limits on time, memory per process and output, hostile output), but has no walls: its
code can read and write what this user can, use the network, and end this user's processes. Use it only for code
that you would run yourself.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import IO

from sandbox import owner, requirements
from sandbox.box import ARGUMENTS, ENVIRONMENT, Box, make_impatient
from sandbox.contract import EngineUnavailable, ImageError, Sandbox, SandboxSpec
from sandbox.disposal import Disposal
from sandbox.pool import Pool
from sandbox.repl_sandbox import ReplSandbox
from sandbox.settings import SandboxSettings
from sandbox.sweep import OWNER_FILE, SCRATCH_PREFIX, Sweeper, sweep_scratch

_HERE = Path(__file__).parent
_READY_SECONDS = 30.0
_GOODBYE_SECONDS = 2.0
_CHUNK = 2**18


class ProcessTransport:
    """A supervisor process, with one socket for its standard input and output."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        line: socket.socket,
        *,
        errors: IO[bytes],
        scratch: Path,
        dispose: Disposal,
    ) -> None:
        self.name = f"process {process.pid}"
        self._process = process
        self._line = line
        self._errors = errors
        self._scratch = scratch
        self._dispose = dispose

    def fileno(self) -> int:
        return self._line.fileno()

    def send(self, data: bytes) -> None:
        self._line.sendall(data)

    def receive(self) -> bytes:
        return self._line.recv(_CHUNK)

    def close(self, *, kill: bool) -> None:
        # The supervisor ends when the connection does. Another thread may still use the socket itself.
        with contextlib.suppress(OSError):
            self._line.shutdown(socket.SHUT_RDWR)
        if kill:
            self._process.kill()
        self._dispose.soon(self._end)

    def _end(self) -> None:
        try:
            self._process.wait(timeout=_GOODBYE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._line.close()
        self._errors.close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def last_words(self) -> str:
        with contextlib.suppress(OSError, ValueError):
            self._errors.seek(0)
            return self._errors.read()[-4000:].decode("utf-8", "replace")
        return ""


class ProcessBackend:
    """The process implementation of `contract.Backend`."""

    name = "process"

    def __init__(self, settings: SandboxSettings) -> None:
        self._settings = settings
        self._disposal = Disposal(name="sandbox processes' end")
        self._pool = Pool(open_box=self._open_box, settings=settings)
        self._sweeper = Sweeper(lambda: sweep_scratch(settings.state_dir), name="sandbox scratch sweep")

    def prepare(self, packages: tuple[str, ...]) -> str:
        """Checks that the packages are installed beside this program, because there is no image. Raises
        ImageError.
        """
        missing = [one for one in packages if not _is_installed(requirements.name_of(one))]
        if missing:
            names = " ".join(missing)
            raise ImageError(
                f"the process sandbox runs this program's own Python, which lacks: {names}."
                f" Install them there ({sys.executable} -m pip install {names}) or use the Docker backend."
            )
        return self.name

    def start(self, spec: SandboxSpec) -> Sandbox:
        self.prepare(spec.packages)
        return ReplSandbox(backend=self.name, limits=spec.limits, open_box=lambda: self._pool.take(spec))

    def is_away(self) -> bool:
        return False

    def sizes(self) -> Mapping[str, int]:
        return self._pool.sizes()

    def close(self) -> None:
        self._pool.close()
        self._disposal.finish()
        self._sweeper.close()

    def _open_box(self, spec: SandboxSpec, *, lifetime_seconds: float, on_close: Callable[[Box], None]) -> Box:
        try:
            transport = self._launch(spec, lifetime_seconds=lifetime_seconds)
        except OSError as error:  # no disk space, memory or process is left for now
            raise EngineUnavailable(f"the sandbox process could not be started: {error}") from error
        box = Box(transport, ends_at=time.monotonic() + lifetime_seconds, on_close=on_close)
        box.await_ready(timeout=_READY_SECONDS)
        return box

    def _launch(self, spec: SandboxSpec, *, lifetime_seconds: float) -> ProcessTransport:
        self._settings.state_dir.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=SCRATCH_PREFIX, dir=self._settings.state_dir))
        (scratch / OWNER_FILE).write_text(str(owner.me()))
        home = scratch / "home"
        home.mkdir()
        config = {
            "lifetime_seconds": lifetime_seconds,
            "output_chars": spec.limits.output_chars,
            "process_memory_mb": spec.limits.memory_mb,
        }
        ours, theirs = socket.socketpair()
        errors = open(scratch / ".errors", "w+b")  # noqa: SIM115 (the transport closes it)
        try:
            process = subprocess.Popen(
                [sys.executable, *ARGUMENTS, str(_HERE), json.dumps(config)],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=errors,
                cwd=home,
                env={**ENVIRONMENT, "PATH": os.environ.get("PATH", os.defpath), "HOME": str(home)},
                start_new_session=True,
            )
        except OSError:
            ours.close()
            errors.close()
            shutil.rmtree(scratch, ignore_errors=True)
            raise
        finally:
            theirs.close()
        make_impatient(ours)
        return ProcessTransport(process, ours, errors=errors, scratch=scratch, dispose=self._disposal)


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
