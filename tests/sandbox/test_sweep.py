"""Sandboxes end with their deadline or owner; others stay untouched."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sandbox import owner
from sandbox.containers import DEADLINE_LABEL, OWNER_LABEL, remove, sweep_containers
from sandbox.docker_backend import open_client
from sandbox.images import Images
from sandbox.sweep import sweep_scratch
from tests.sandbox.conftest import settings_for_tests

ROOT = Path(__file__).parents[2]
DEAD = owner.Owner(host=owner.me().host, boot=owner.me().boot, pid=2**22 + 1, started="1")
ELSEWHERE = owner.Owner(host="another-machine", boot="x", pid=1, started="1")


def wait_until(condition, *, seconds=20.0):
    """Waits for other processes; the caller asserts the result."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


class TestOwner:
    def test_this_process_is_alive(self):
        assert not owner.me().is_dead()
        assert owner.Owner.parse(str(owner.me())) == owner.me()

    def test_a_process_that_ended_is_dead(self):
        assert DEAD.is_dead()

    def test_a_process_of_an_earlier_boot_is_dead(self):
        assert owner.Owner(host=owner.me().host, boot="earlier", pid=os.getpid(), started="1").is_dead()

    def test_a_process_id_that_was_given_out_again_is_dead(self):
        assert owner.Owner(host=owner.me().host, boot=owner.me().boot, pid=os.getpid(), started="1").is_dead()

    def test_one_on_another_host_cannot_be_known(self):
        assert not ELSEWHERE.is_dead()

    @pytest.mark.parametrize("text", ["", "a", "a/b/c/d", "///"])
    def test_nonsense_is_nobody(self, text):
        assert owner.Owner.parse(text) is None


@pytest.mark.docker
class TestContainers:
    @pytest.fixture
    def client(self, engine):
        client = open_client()
        yield client
        client.close()

    @pytest.fixture
    def create(self, client, state_dir):
        """Creates containers with these labels; none is started."""
        image = Images(client, settings=settings_for_tests(state_dir)).prepare(())
        created = []

        def create(**labels):
            names = {name.replace("_", "."): value for name, value in labels.items()}
            created.append(client.create_container(image, command=["true"], labels=names)["Id"])
            return created[-1]

        yield create
        for container in created:
            remove(client, container)

    @pytest.mark.parametrize(
        ("whose", "deadline", "removed"),
        [
            ("mine", 3600, False),
            ("mine", -10, True),
            ("dead", 3600, True),
            ("elsewhere", 3600, False),
            ("elsewhere", -10, True),
            ("nonsense", 3600, False),
        ],
    )
    def test_what_is_over_is_removed(self, client, create, whose, deadline, removed):
        owners = {"mine": str(owner.me()), "dead": str(DEAD), "elsewhere": str(ELSEWHERE)}
        labels = {OWNER_LABEL: owners.get(whose, whose), DEADLINE_LABEL: str(int(time.time()) + deadline)}
        container = create(**labels)
        assert (container in sweep_containers(client)) == removed

    @pytest.mark.parametrize(
        "labels",
        [{}, {"other": "x"}, {OWNER_LABEL: str(DEAD)}, {DEADLINE_LABEL: "1"}],
        ids=["none", "other", "half", "half"],
    )
    def test_containers_without_our_labels_are_not_touched(self, client, create, labels):
        container = create(**labels)
        assert container not in sweep_containers(client)
        assert client.inspect_container(container)["Id"] == container


class TestScratch:
    def test_only_folders_of_the_dead_are_removed(self, tmp_path):
        for name, whose in {"scratch-dead": str(DEAD), "scratch-mine": str(owner.me()), "scratch-x": "?"}.items():
            (tmp_path / name).mkdir()
            (tmp_path / name / ".owner").write_text(whose)
        (tmp_path / "scratch-none").mkdir()
        assert sweep_scratch(tmp_path) == [tmp_path / "scratch-dead"]
        assert len(list(tmp_path.iterdir())) == 3


WORKER = """
import json, sys
from pathlib import Path
from sandbox.backends import open_backend
from sandbox.contract import SandboxSpec
from sandbox.settings import SandboxSettings
if __name__ == "__main__":
    import os
    given = vars(SandboxSettings.from_environment(os.environ))
    settings = SandboxSettings(**{**given, "pool_size": 1, "state_dir": Path(sys.argv[2])})
    backend = open_backend(sys.argv[1], settings)
    sandbox = backend.start(SandboxSpec())
    sandbox.load({})
    code = "import subprocess, time; subprocess.Popen(['sleep', '1234.5']); print('runs'); time.sleep(60)"
    sandbox.execute(code, time_limit=60, on_output=lambda text: print(text, flush=True))
"""


@pytest.fixture
def worker(request, tmp_path):
    """A process that runs a cell in a sandbox, and waits for it."""
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, request.param, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE
    )
    process.stdout.readline()
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.mark.docker
@pytest.mark.parametrize("worker", ["docker"], indirect=True)
def test_a_killed_worker_leaves_no_container(engine, worker):
    client = open_client()
    mine = f"/{worker.pid}/"

    def containers():
        found = client.containers(all=True, filters={"label": OWNER_LABEL})
        return [one for one in found if mine in one["Labels"][OWNER_LABEL]]

    try:
        assert containers()
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        assert wait_until(lambda: not containers())
    finally:
        client.close()


@pytest.mark.parametrize("worker", ["process"], indirect=True)
def test_a_killed_worker_leaves_no_process(worker, tmp_path):
    scratch = str(tmp_path)

    def processes():
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and os.readlink(entry / "cwd").startswith(scratch):
                    found.append(entry.name)
            except OSError:
                continue
        return found

    assert len(processes()) >= 3
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    assert wait_until(lambda: not processes())
    assert sweep_scratch(tmp_path)
    assert not list(tmp_path.glob("scratch-*"))
