"""A whole system per test with the simulated model and its own broker."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time

import pytest
from playwright.sync_api import sync_playwright

from rlm_runs.demo.simulated_model.options import DemoOptions
from rlm_runs.demo.simulated_model.server import DemoServer
from tests.conftest import chromium_path
from tests.end_to_end.system import System

CHROMIUM_FLAGS = [
    "--no-sandbox",  # of Chromium itself: it refuses to run as root with one
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def demo_model():
    """The simulated model with short waits."""
    server = DemoServer(DemoOptions(seed=7, latency=0.0, jitter=0.0, fail_429=0.02, fail_500=0.01, window=16000))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis_url(tmp_path):
    """A Redis server for the test, on a socket."""
    path = tmp_path / "redis.sock"
    process = subprocess.Popen(
        [shutil.which("redis-server") or "redis-server", "--port", "0", "--unixsocket", str(path), "--save", ""],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
    )
    until = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < until, "redis-server did not start"
        time.sleep(0.05)
    yield f"redis+socket://{path}"
    process.terminate()
    process.wait()


@pytest.fixture
def make_system(transactional_db, tmp_path, demo_model):
    """Starts a system with the given variables and stops it after the test."""
    systems = []

    def make(**variables):
        variables = {"DEMO_MODEL_URL": f"{demo_model.url}/v1", "RLM_SANDBOX": "process"} | variables
        system = System(tmp_path, variables=variables)
        systems.append(system)
        return system

    yield make
    for system in systems:
        system.stop()


@pytest.fixture
def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def browser(monkeypatch):
    # Playwright's loop runs in this thread, where Django would refuse the ORM.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=CHROMIUM_FLAGS)
        yield browser
        browser.close()
