"""A container engine that restarts: its containers are gone, for no reason of the rollouts."""

from __future__ import annotations

import os
import shutil
import time

import pytest

from tests.faults.installation import RESUMED_WITHIN
from tests.faults.load import BATCH, Load
from tests.faults.parts import Engine, wait_until

pytestmark = [
    pytest.mark.docker,
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("dockerd"), reason="an engine of its own needs root"),
]


@pytest.fixture(scope="module")
def engine():
    """An engine of the module's own, with the sandbox's image."""
    engine = Engine()
    yield engine
    engine.stop()


@pytest.fixture
def load():
    with Load(latency=0.2, cell_seconds=0.6) as load:
        yield load


def assert_all_is_well(installation, engine, worker):
    found = installation.examine()
    assert found.problems == []
    assert found.statuses == {"completed": found.rollouts}
    assert found.asked_again == 0
    assert found.unstored <= 6 * BATCH  # sub-LLMs in flight are given up with the cell that called them
    assert worker.poll() is None
    installation.stop()
    wait_until(lambda: engine.containers() == [], seconds=60, what="no container is left")


@pytest.mark.parametrize("how", ["restarts", "crashes"])
def test_an_engine_that(how, install, engine):
    """Rollouts whose REPL is lost are done again; those without one wait."""
    installation = install(**engine.variables)
    worker = installation.start_worker(concurrency=6)
    installation.launch(24)
    installation.wait_for_turns(12)
    if how == "restarts":
        engine.restart(away=2)
    else:
        engine.crash()
        time.sleep(2)
        engine.start()
    assert installation.time_to_resume(f"the engine {how}") < 5 * RESUMED_WITHIN
    installation.wait_until_ended(seconds=300)
    assert "the container engine is away" in installation.system.log("worker")
    assert_all_is_well(installation, engine, worker)


def test_a_worker_that_starts_while_the_engine_is_away(install, engine):
    installation = install(**engine.variables)
    installation.launch(2)
    engine.terminate()
    worker = installation.start_worker(concurrency=2)
    time.sleep(4)
    engine.start()
    installation.time_to_resume("the engine came late")
    installation.wait_until_ended()
    found = installation.examine()
    assert found.attempts == 2
    assert_all_is_well(installation, engine, worker)
