"""Workers that stop, die, freeze or are lost with their machine."""

from __future__ import annotations

import os
import signal

import pytest

from tests.faults.installation import RESUMED_WITHIN, kill_group

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a worker another host name")


def assert_all_is_well(found):
    assert found.problems == []
    assert found.statuses == {"completed": found.rollouts}
    assert found.asked_again == 0


def test_a_killed_worker(install):
    installation = install()
    installation.launch(6)
    first = installation.start_worker(concurrency=4)
    installation.wait_for_turns(6)
    second = installation.start_worker(concurrency=6)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    seconds = installation.time_to_resume("kill -9", lambda: installation.is_taken_up(first))
    installation.wait_until_ended()
    found = installation.examine()
    assert_all_is_well(found)
    assert found.unstored <= 4 * 4  # at most the batches in flight
    assert seconds < 5 * RESUMED_WITHIN
    assert second.poll() is None


@needs_root
def test_a_machine_that_is_lost(install):
    """Nobody on another machine can see that its process is dead: its leases expire."""
    installation = install()
    installation.launch(6)
    lost = installation.start_worker(concurrency=4, host="lost-machine")
    installation.wait_for_turns(6)
    installation.start_worker(concurrency=6)
    assert installation.count("SELECT count(*) FROM rlm_runs_rollout WHERE worker LIKE 'lost-machine:%'") > 0
    kill_group(lost)
    seconds = installation.time_to_resume("machine lost", lambda: installation.is_taken_up(lost))
    installation.wait_until_ended()
    assert_all_is_well(installation.examine())
    assert seconds < 5 * RESUMED_WITHIN


@needs_root
def test_a_machine_that_comes_back_after_its_rollouts_were_taken_over(install):
    """It writes nothing more of them, and continues with others."""
    installation = install()
    installation.launch(6)
    frozen = installation.start_worker(concurrency=4, host="frozen-machine")
    installation.wait_for_turns(6)
    frozen.send_signal(signal.SIGSTOP)
    installation.start_worker(concurrency=6)
    installation.wait_until_ended()
    frozen.send_signal(signal.SIGCONT)
    installation.launch(2)
    installation.wait_until_ended()
    assert_all_is_well(installation.examine())


def test_workers_that_are_told_to_stop(install):
    """One after the other, as in a deployment: what they run is given back, and nothing waits for a lease."""
    installation = install(RLM_LEASE_SECONDS="600")
    installation.launch(8)
    worker = installation.start_worker(concurrency=4)
    for turns in (6, 16):
        installation.wait_for_turns(turns)
        successor = installation.start_worker(concurrency=4)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(timeout=30) == 0
        installation.time_to_resume("SIGTERM", lambda: installation.is_taken_up(worker))  # noqa: B023
        worker = successor
    installation.wait_until_ended()
    assert_all_is_well(installation.examine())
