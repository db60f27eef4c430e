"""Many sandboxes in a row leave nothing behind: no container, process, descriptor, thread or memory."""

import gc
import os
import threading
from pathlib import Path

import pytest

from sandbox import owner
from sandbox.backends import open_backend
from sandbox.containers import OWNER_LABEL
from sandbox.contract import SandboxSpec
from sandbox.docker_backend import open_client
from tests.sandbox.conftest import SMALL, settings_for_tests

COUNTS = {
    "process": int(os.environ.get("SANDBOX_LEAK_COUNT", "30")),
    "docker": int(os.environ.get("SANDBOX_LEAK_COUNT", "10")),
}
"""SANDBOX_LEAK_COUNT=500 is the long form of this test."""


def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def children():
    return Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()


def use(backend, *, how):
    sandbox = backend.start(SandboxSpec(limits=SMALL))
    sandbox.load({"context": "x" * 100_000})
    sandbox.execute(how, time_limit=5, on_batch=lambda batch: batch.finish(""))
    sandbox.execute("1", time_limit=5)
    sandbox.close()


@pytest.mark.parametrize("name", ["process", pytest.param("docker", marks=pytest.mark.docker)])
def test_nothing_is_left(name, request, tmp_path):
    if name == "docker":
        request.getfixturevalue("engine")
    backend = open_backend(name, settings_for_tests(tmp_path, pool_size=1))
    cells = [
        "print('x' * 10**6)",
        "llm_batch(['p'])",
        "import os; os._exit(1)",
        "import os; os.kill(os.getppid(), 9)",
    ]
    for how in cells:
        use(backend, how=how)
    gc.collect()
    descriptors, threads, memory = len(os.listdir("/proc/self/fd")), threading.active_count(), resident_bytes()
    for index in range(COUNTS[name]):
        use(backend, how=cells[index % len(cells)])
    backend.close()
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= descriptors
    assert threading.active_count() <= threads
    assert resident_bytes() < memory + 50 * 2**20
    assert not list(tmp_path.glob("scratch-*"))
    if name == "docker":
        client = open_client()
        assert not [
            one
            for one in client.containers(all=True, filters={"label": OWNER_LABEL})
            if one["Labels"][OWNER_LABEL] == str(owner.me())
        ]
        client.close()
