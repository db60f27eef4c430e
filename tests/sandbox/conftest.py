"""Fixtures: both backends behind the same names, so that one test runs on each."""

import os

import pytest

from sandbox.backends import docker_available, open_backend
from sandbox.contract import Limits, SandboxSpec
from sandbox.settings import SandboxSettings

SMALL = Limits(memory_mb=256, pids=64, tmpfs_mb=32, output_chars=20_000, lifetime_seconds=300)


def settings_for_tests(folder, **changes):
    given = SandboxSettings.from_environment(os.environ)
    return SandboxSettings(**{**vars(given), "state_dir": folder, "pool_size": 0, **changes})


@pytest.fixture(scope="session")
def state_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("sandboxes")


@pytest.fixture(scope="session")
def process_backend(state_dir):
    backend = open_backend("process", settings_for_tests(state_dir))
    yield backend
    backend.close()


@pytest.fixture(scope="session")
def engine():
    """There is a container engine. Without one a laptop skips the test, and CI fails it."""
    available, why_not = docker_available()
    if available:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI has to have a container engine: {why_not}")
    pytest.skip(why_not)


@pytest.fixture(scope="session")
def docker_backend(engine, state_dir):
    backend = open_backend("docker", settings_for_tests(state_dir))
    backend.prepare(())
    yield backend
    backend.close()


BOTH = [pytest.param("process"), pytest.param("docker", marks=pytest.mark.docker)]
DOCKER = [pytest.param("docker", marks=pytest.mark.docker)]


@pytest.fixture(params=BOTH)
def backend(request):
    return request.getfixturevalue(f"{request.param}_backend")


@pytest.fixture
def start(backend):
    """Starts sandboxes and closes them at the end."""
    started = []

    def start(limits=SMALL, **spec):
        sandbox = backend.start(SandboxSpec(limits=limits, **spec))
        started.append(sandbox)
        return sandbox

    yield start
    for sandbox in started:
        sandbox.close()


@pytest.fixture
def sandbox(start):
    sandbox = start()
    sandbox.load({})
    return sandbox
