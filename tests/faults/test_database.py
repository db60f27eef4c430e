"""A database that crashes, is away or has no space left: rollouts wait, and no call is made twice."""

from __future__ import annotations

import os
import time

import pytest

from tests.faults.conftest import TEMPLATE, migrate
from tests.faults.installation import RESUMED_WITHIN, Installation
from tests.faults.parts import Database, SmallDisk, open_folder


def assert_nothing_was_lost(found):
    """One attempt each, each reply stored, and none asked for again."""
    assert found.problems == []
    assert found.statuses == {"completed": found.rollouts}
    assert found.attempts == found.rollouts
    assert (found.unstored, found.asked_again) == (0, 0)


def test_a_database_that_crashes_under_load(install):
    installation = install()
    installation.start_worker(concurrency=6)
    installation.launch(24)
    for turns in (5, 60, 120):
        installation.wait_for_turns(turns)
        installation.database.restart()
        assert installation.time_to_resume("Postgres crashed") < 5 * RESUMED_WITHIN
    installation.wait_until_ended()
    assert_nothing_was_lost(installation.examine())


def test_a_database_that_is_away_for_longer_than_a_lease(install):
    """All leases expire, and the pool of connections has tried and failed for a while."""
    installation = install()
    workers = [installation.start_worker(concurrency=4) for _ in range(2)]
    installation.launch(24)
    installation.wait_for_turns(6)
    installation.database.crash()
    time.sleep(12)
    installation.database.start()
    assert installation.time_to_resume("Postgres away for 12 s") < 5 * RESUMED_WITHIN
    installation.wait_until_ended()
    found = installation.examine()
    # A worker that a busy machine lets renew too late loses a rollout to the other one, and its calls in flight.
    assert (found.problems, found.statuses, found.asked_again) == ([], {"completed": 24}, 0)
    assert found.unstored <= 8
    assert [worker.poll() for worker in workers] == [None, None]


@pytest.fixture
def small_disk():
    if os.geteuid() != 0:
        pytest.skip("only root can make a small disk")
    with open_folder() as folder:
        disk = SmallDisk(folder / "disk", megabytes=200)
        yield disk
        disk.free()
        disk.remove()


def test_a_disk_that_is_full_for_a_while(small_disk, load, tmp_path):
    database = Database(small_disk.folder)
    migrate(database)
    address = database.fresh("full", template=TEMPLATE)
    installation = Installation(tmp_path, database=database, address=address, load=load)
    try:
        installation.start_worker(concurrency=6)
        installation.launch(30)
        installation.wait_for_turns(6)
        small_disk.fill()
        installation.system.wait_for(lambda: "No space left on device" in installation.system.log("worker"))
        time.sleep(2)
        small_disk.free()
        if not database.is_running():  # it had no space for its log of changes
            database.start()
        assert installation.time_to_resume("disk full") < 5 * RESUMED_WITHIN
        installation.wait_until_ended()
        assert_nothing_was_lost(installation.examine())
    finally:
        installation.stop()
        database.stop()
