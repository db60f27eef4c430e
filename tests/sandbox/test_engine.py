"""A container engine that misbehaves, or is remote."""

import contextlib
import socket
import threading
import time

import pytest

from sandbox.backends import open_backend
from sandbox.contract import SandboxSpec
from sandbox.docker_backend import open_client
from tests.sandbox.conftest import SMALL, settings_for_tests

pytestmark = pytest.mark.docker
SPEC = SandboxSpec(limits=SMALL)


@pytest.fixture
def client(engine):
    client = open_client()
    yield client
    client.close()


@pytest.fixture
def sandbox(docker_backend):
    sandbox = docker_backend.start(SPEC)
    sandbox.load({"context": "text"})
    yield sandbox
    sandbox.close()


def container_of(sandbox):
    return sandbox._box.name.removeprefix("container ")


def during_a_cell(sandbox, do, *, limit=5.0):
    """Runs a long cell, and something on its container as soon as it has begun."""
    began = time.monotonic()
    result = sandbox.execute(
        "print('begun')\nimport time; time.sleep(60)",
        time_limit=limit,
        on_output=lambda text: do(container_of(sandbox)),
    )
    assert time.monotonic() - began < limit + 2
    return result


def test_a_container_that_is_killed_during_a_cell_is_replaced(sandbox, client):
    result = during_a_cell(sandbox, client.kill)
    assert (result.state_lost, result.output) == (True, "begun\n")
    assert sandbox.execute("context", time_limit=10).out == "'text'"


def test_a_container_that_stands_still_is_replaced(sandbox, client):
    result = during_a_cell(sandbox, client.pause, limit=1.0)
    assert (result.state_lost, result.timed_out) == (True, True)
    assert sandbox.execute("context", time_limit=10).out == "'text'"


def test_a_container_that_vanished_between_the_cells_is_replaced(sandbox, client):
    client.remove_container(container_of(sandbox), force=True)
    assert sandbox.execute("1", time_limit=10).state_lost
    assert sandbox.execute("context", time_limit=10).out == "'text'"


def test_a_warm_container_that_stands_still_is_not_handed_out(client, state_dir):
    backend = open_backend("docker", settings_for_tests(state_dir, pool_size=1))
    try:
        backend.start(SPEC).close()
        (warm,) = wait_for_shelf(backend)
        client.pause(warm.name.removeprefix("container "))
        sandbox = backend.start(SPEC)
        assert sandbox.execute("1", time_limit=10).out == "1"
        sandbox.close()
    finally:
        backend.close()


def wait_for_shelf(backend, *, seconds=20.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        boxes = list(backend._pool._shelves[SPEC].boxes)
        if boxes:
            return boxes
        time.sleep(0.05)
    raise AssertionError("no warm container in time")


class Forwarder:
    """A TCP port that leads to the local engine, as a remote engine's would."""

    def __init__(self):
        server = socket.create_server(("127.0.0.1", 0))
        self.port = server.getsockname()[1]
        self._sockets = [server]
        self._threads = []
        self._run(self._accept, server)

    def _run(self, target, *args):
        thread = threading.Thread(target=target, args=args)
        self._threads.append(thread)
        thread.start()

    def _accept(self, server):
        with contextlib.suppress(OSError):
            while True:
                near, _ = server.accept()
                far = socket.socket(socket.AF_UNIX)
                self._sockets += [near, far]
                far.connect("/var/run/docker.sock")
                self._run(self._pump, near, far)
                self._run(self._pump, far, near)

    @staticmethod
    def _pump(source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def close(self):
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for one in self._sockets:
            one.close()


def test_an_engine_over_tcp(engine, monkeypatch, state_dir):
    forwarder = Forwarder()
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{forwarder.port}")
    backend = open_backend("docker", settings_for_tests(state_dir))
    try:
        sandbox = backend.start(SPEC)
        sandbox.load({"context": "x" * 1_000_000})
        assert sandbox.execute("print('x' * 10_000); len(context)", time_limit=10).out == "1000000"
        sandbox.close()
    finally:
        backend.close()
        forwarder.close()
