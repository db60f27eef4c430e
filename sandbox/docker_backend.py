"""The Docker backend: one container for each sandbox, driven through its attached standard input and output.

The container has no network, no capabilities, no mounts and none of this program's environment. It removes itself
when its supervisor ends, which happens as soon as the host's end of the connection is gone. Even a killed worker
leaves nothing behind; `sandbox.sweep` catches what remains.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
import socket
import ssl
import struct
import time
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import docker.errors
from docker.api.client import APIClient
from docker.types import LogConfig
from docker.utils import kwargs_from_env, parse_host

from sandbox import owner
from sandbox.box import ARGUMENTS, ENVIRONMENT, Box, make_impatient
from sandbox.containers import DEADLINE_LABEL, OWNER_LABEL, EngineErrors, remove, sweep_containers
from sandbox.contract import EngineUnavailable, Limits, Sandbox, SandboxError, SandboxSpec
from sandbox.disposal import Disposal
from sandbox.engine_watch import EngineWatch
from sandbox.images import BOX_DIR, REPOSITORY, USER, Images
from sandbox.pool import Pool
from sandbox.repl_sandbox import ReplSandbox
from sandbox.settings import SandboxSettings
from sandbox.sweep import Sweeper

_READY_SECONDS = 60.0
_PING_SECONDS = 2
_ENGINE_SECONDS = 60
_CONNECTIONS = 64
_CHUNK = 2**18
_MULTIPLEX = struct.Struct(">BxxxI")
_STDOUT = 1
_LAST_WORDS = 4000


class DockerTransport:
    """The attached connection of one container. The engine multiplexes both output streams on it."""

    def __init__(self, container: str, line: Any, *, remove: Callable[[], None], dispose: Disposal) -> None:
        self.name = f"container {container}"
        self._remove_container = remove
        self._line = line
        self._socket: socket.socket = getattr(line, "_sock", line)
        self._dispose = dispose
        self._unread = bytearray()
        self._errors = bytearray()
        self._ended = False
        self._socket.settimeout(None)
        make_impatient(self._socket)

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def receive(self) -> bytes:
        output = bytearray()
        while not output:
            data = self._socket.recv(_CHUNK)
            if not data:
                return b""
            self._unread += data
            while self._has_more():
                self._unread += self._socket.recv(_CHUNK)
            self._demultiplex(output)
        return bytes(output)

    def _has_more(self) -> bool:
        """Returns whether a TLS socket has buffered data that the file descriptor no longer shows."""
        return isinstance(self._socket, ssl.SSLSocket) and self._socket.pending() > 0

    def _demultiplex(self, output: bytearray) -> None:
        start = 0
        unread = self._unread
        while len(unread) - start >= _MULTIPLEX.size:
            stream, length = _MULTIPLEX.unpack_from(unread, start)
            begin, end = start + _MULTIPLEX.size, start + _MULTIPLEX.size + length
            if len(unread) < end:
                break
            if stream == _STDOUT:
                output += unread[begin:end]
            else:
                self._errors += unread[begin:end]
                del self._errors[:-_LAST_WORDS]
            start = end
        del unread[:start]

    def close(self, *, kill: bool) -> None:
        # The supervisor ends when the connection does. Another thread may still use the socket itself.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._dispose.soon(self._remove)

    def _remove(self) -> None:
        self._line.close()
        self._socket.close()
        self._remove_container()

    def last_words(self) -> str:
        return self._errors.decode("utf-8", "replace")


class DockerBackend:
    """The Docker implementation of `contract.Backend`. Raises SandboxError if no engine answers."""

    name = "docker"

    def __init__(self, settings: SandboxSettings) -> None:
        self._settings = settings
        self._client = open_client()
        self._prefix = f"{REPOSITORY}-{uuid.uuid4().hex[:12]}-"
        self._numbers = itertools.count(1)
        self._owner = str(owner.me())
        self._images = Images(self._client, settings=settings)
        self._disposal = Disposal(name="sandbox containers' end")
        self._pool = Pool(open_box=self._open_box, settings=settings)
        self._mine: set[str] = set()
        """Names of the containers that this backend started and has not ended."""
        self._sweeper = Sweeper(self._sweep, name="sandbox container sweep")
        self._pinger = open_client(timeout=_PING_SECONDS)
        self._watch = EngineWatch(self._pinger, on_return=self._sweeper.soon)

    def prepare(self, packages: tuple[str, ...]) -> str:
        return self._images.prepare(packages)

    def start(self, spec: SandboxSpec) -> Sandbox:
        return ReplSandbox(
            backend=self.name,
            limits=spec.limits,
            open_box=lambda: self._pool.take(spec),
            engine_left=self._watch.was_away_lately,
        )

    def is_away(self) -> bool:
        return self._watch.is_away and not self._watch.answers()

    def sizes(self) -> Mapping[str, int]:
        return self._pool.sizes()

    def close(self) -> None:
        self._pool.close()
        self._disposal.finish()
        self._sweeper.close()
        self._client.close()
        self._pinger.close()

    def _sweep(self) -> None:
        sweep_containers(
            self._client, is_left=lambda name: name.startswith(self._prefix) and name not in self._mine
        )

    def _open_box(self, spec: SandboxSpec, *, lifetime_seconds: float, on_close: Callable[[Box], None]) -> Box:
        try:
            transport = self._launch_from_image(spec, lifetime_seconds=lifetime_seconds)
        except EngineErrors as error:
            self._watch.answers()
            kind = EngineUnavailable if _is_transient(error) else SandboxError
            raise kind(f"the engine could not start a container: {error}") from error
        box = Box(transport, ends_at=time.monotonic() + lifetime_seconds, on_close=on_close)
        try:
            box.await_ready(timeout=_READY_SECONDS)
        except SandboxError as error:  # no code of a rollout has run in it yet
            if self._watch.was_away_lately():
                raise EngineUnavailable(str(error)) from error
            raise
        return box

    def _launch_from_image(self, spec: SandboxSpec, *, lifetime_seconds: float) -> DockerTransport:
        try:
            return self._launch(self._images.prepare(spec.packages), spec, lifetime_seconds=lifetime_seconds)
        except docker.errors.ImageNotFound:  # it was removed since it was prepared
            self._images.forget()
            return self._launch(self._images.prepare(spec.packages), spec, lifetime_seconds=lifetime_seconds)

    def _launch(self, image: str, spec: SandboxSpec, *, lifetime_seconds: float) -> DockerTransport:
        config = {"lifetime_seconds": lifetime_seconds, "output_chars": spec.limits.output_chars}
        client = self._client
        # The name exists before the container, so that the sweep finds one whose creation was never confirmed.
        name = f"{self._prefix}{next(self._numbers)}"
        self._mine.add(name)
        try:
            client.create_container(
                image,
                name=name,
                command=["python3", *ARGUMENTS, BOX_DIR, json.dumps(config)],
                user=USER,
                working_dir="/tmp",
                environment=_environment(spec.limits),
                stdin_open=True,
                network_disabled=True,
                labels={OWNER_LABEL: self._owner, DEADLINE_LABEL: str(math.ceil(time.time() + lifetime_seconds))},
                host_config=self._walls(spec.limits),
            )
            line = client.attach_socket(name, params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
            transport = DockerTransport(name, line, remove=partial(self._remove, name), dispose=self._disposal)
            client.start(name)
        except BaseException:
            self._disposal.soon(partial(self._remove, name))
            raise
        return transport

    def _remove(self, name: str) -> None:
        """Removes a container. If the engine is unavailable, the next sweep removes it."""
        self._mine.discard(name)
        remove(self._client, name)

    def _walls(self, limits: Limits) -> Any:
        memory = f"{limits.memory_mb}m"
        return self._client.create_host_config(
            network_mode="none",
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            read_only=True,
            tmpfs={"/tmp": f"size={limits.tmpfs_mb}m,mode=1777"},
            mem_limit=memory,
            memswap_limit=memory,
            pids_limit=limits.pids,
            nano_cpus=int(limits.cpus * 1e9),
            ipc_mode="private",
            auto_remove=True,
            log_config=LogConfig(type="none"),  # the frames are not a log, and would fill the engine's disk
            runtime=self._settings.runtime or None,
        )


def _environment(limits: Limits) -> dict[str, str]:
    # By default, native libraries start one thread per core of the machine, not of the container.
    threads = str(max(1, math.ceil(limits.cpus)))
    return {**ENVIRONMENT, "HOME": "/tmp", "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}


def _is_transient(error: Exception) -> bool:
    """Returns whether a retry may succeed: the engine did not answer, or had an internal error."""
    return not isinstance(error, docker.errors.APIError) or bool(error.is_server_error())


def open_client(*, timeout: int = _ENGINE_SECONDS) -> APIClient:
    """Returns a client of the engine at DOCKER_HOST, or of the local one. Raises EngineUnavailable if none
    answers.
    """
    _check_local_engine()
    try:
        client = APIClient(version="auto", max_pool_size=_CONNECTIONS, timeout=timeout, **kwargs_from_env())
    except EngineErrors as error:
        raise EngineUnavailable(f"no container engine answers: {error}") from error
    client.trust_env = False  # else each request walks os.environ, which other threads may be changing
    return client


def _check_local_engine() -> None:
    """Raises EngineUnavailable if no local engine accepts a connection.

    The client library would leave an open socket behind.
    """
    address: Any = parse_host(os.environ.get("DOCKER_HOST"))
    scheme, _, path = address.partition("://")
    if scheme != "http+unix":
        return
    with socket.socket(socket.AF_UNIX) as door:
        try:
            door.connect(path)
        except OSError as error:
            raise EngineUnavailable(f"no container engine answers at {path}: {error.strerror or error}") from error
