"""Images and a running installation of docker-compose.yml. No registry is needed: bases are Debian packages."""

from __future__ import annotations

import io
import os
import shutil
import socket
import subprocess
import tarfile
import time
import uuid
from pathlib import Path

import pytest

from sandbox import debian_base
from sandbox.docker_backend import open_client
from sandbox.settings import SandboxSettings
from tests.conftest import compose_command

ROOT = Path(__file__).resolve().parents[2]
SERVICES_BASE = f"rlm-test-services-base:debian-{debian_base.suite()}"
SERVICES = "rlm-test-services:latest"
_PIP = ("PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT")


class Installation:
    """The services of docker-compose.yml under a project name of their own."""

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        self.folder = folder
        self.project = f"rlm-test-{uuid.uuid4().hex[:8]}"
        self.variables = {**os.environ, **variables}
        self.address = f"http://127.0.0.1:{variables['WEB_PORT']}"

    def compose(self, *arguments: str, stdin: str = "", check: bool = True, seconds: float = 180) -> str:
        """What a compose command printed. Fails the test where the command fails."""
        command = [*compose_command(), "--project-name", self.project, *arguments]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.variables,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert not check or done.returncode == 0, f"{arguments}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done.stdout

    def manage(self, *arguments: str, stdin: str = "", check: bool = True) -> str:
        """What a management command printed in the worker's container."""
        return self.compose("exec", "-T", "worker", "python", "manage.py", *arguments, stdin=stdin, check=check)

    def wait_for(self, holds, *, what: str, seconds: float = 60) -> None:
        """Waits; fails the test with the services' logs."""
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline:
                pytest.fail(f"{what}\n{self.compose('logs', '--tail', '40', check=False)}")
            time.sleep(0.5)


@pytest.fixture(scope="session")
def engine():
    client = open_client()
    client.timeout = 900
    yield client
    client.close()


@pytest.fixture(scope="session")
def context(tmp_path_factory):
    """The tracked files, with the certificates that pip needs on this machine."""
    folder = tmp_path_factory.mktemp("context")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    if certificates := SandboxSettings.from_environment(os.environ).ca_bundle:
        shutil.copy(certificates, folder / "deploy/certificates/ca.pem")
    return folder


@pytest.fixture(scope="session")
def base_image(engine, tmp_path_factory):
    if not _has(engine, debian_base.tag()):
        debian_base.build(engine, log=tmp_path_factory.mktemp("base") / "log")
    return debian_base.tag()


@pytest.fixture(scope="session")
def services_image(engine):
    """Postgres and Redis from Debian packages, with the contract of the official images."""
    if not _has(engine, SERVICES_BASE):
        command = ["mmdebstrap", "--variant=apt", "--include=postgresql,redis-server", debian_base.suite(), "-"]
        tree = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True).stdout
        repository, _, tag = SERVICES_BASE.partition(":")
        engine.import_image_from_data(tree, repository=repository, tag=tag)
    _build(engine, Path(__file__).parent / "services", tag=SERVICES, buildargs={"BASE": SERVICES_BASE})
    return SERVICES


@pytest.fixture(scope="session")
def app_image(engine, context, base_image):
    """The image of the Dockerfile, on a Debian base, with pip as this machine has it."""
    settings = SandboxSettings.from_environment(os.environ)
    buildargs = {"BASE_IMAGE": base_image, "CODE_VERSION": "of-the-tests", **settings.proxies}
    buildargs |= {name: value for name in _PIP if (value := os.environ.get(name))}
    if settings.index_url:
        buildargs["PIP_INDEX_URL"] = settings.index_url
    tag = f"rlm-runs-test:{uuid.uuid4().hex[:8]}"
    _build(engine, context, tag=tag, buildargs=buildargs, network_mode=settings.build_network or "host")
    yield tag
    engine.remove_image(tag, force=True)


@pytest.fixture(scope="session")
def installation(context, app_image, services_image, base_image):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = Installation(
        context,
        {
            "SECRET_KEY": "of the tests",
            "POSTGRES_PASSWORD": "of-the-tests",
            "RLM_METRICS_TOKEN": "metrics-of-the-tests",
            "RLM_IMAGE": app_image,
            "POSTGRES_IMAGE": services_image,
            "REDIS_IMAGE": services_image,
            "SANDBOX_BASE_IMAGE": base_image,
            "DOCKER_GID": str(os.stat("/var/run/docker.sock").st_gid),
            "DEMO_LATENCY": "0",
            "WEB_PORT": str(port),
            "WORKER_CONCURRENCY": "4",
        },
    )
    try:
        running.compose("up", "-d", "--no-build", "web", "worker", "simulated-model")
        yield running
    finally:
        running.compose("down", "--volumes", "--timeout", "30", check=False)


def _has(client, tag):
    return bool(client.images(name=tag))


def _build(client, folder, **options):
    """Builds a folder through the engine's API; fails the test with the end of the log."""
    log = []
    stream = _tar(folder)
    for line in client.build(fileobj=stream, custom_context=True, rm=True, forcerm=True, decode=True, **options):
        log.append(line.get("stream", ""))
        if "error" in line:
            pytest.fail(f"{line['error']}\n{''.join(log)[-3000:]}")


def _tar(folder):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "tests" not in path.relative_to(folder).parts[:1]:
                info = tar.gettarinfo(path, arcname=str(path.relative_to(folder)))
                info.mtime = 0  # copies of the same file are the same layer
                with path.open("rb") as content:
                    tar.addfile(info, content)
    stream.seek(0)
    return stream
