"""A broker that is emptied, restarted, frozen or away: workers do not need it, and connect again."""

from __future__ import annotations

import time

import pytest

from tests.faults.installation import RESUMED_WITHIN

pytestmark = pytest.mark.redis


def test_a_broker_that_is_emptied_restarted_and_away(install, broker):
    installation = install(CELERY_BROKER_URL=broker.url)
    worker = installation.start_worker(concurrency=6)
    installation.launch(24)
    installation.wait_for_turns(6)
    broker.empty()
    assert installation.time_to_resume("broker emptied") < 5 * RESUMED_WITHIN
    broker.crash()
    broker.start()
    assert installation.time_to_resume("broker restarted") < 5 * RESUMED_WITHIN
    broker.crash()
    installation.launch(6)
    time.sleep(5)
    broker.start()
    assert installation.time_to_resume("broker away") < 5 * RESUMED_WITHIN
    installation.wait_until_ended()
    found = installation.examine()
    assert found.problems == []
    assert (found.attempts, found.unstored, found.asked_again) == (found.rollouts, 0, 0)
    assert worker.poll() is None


def test_a_broker_that_hangs_holds_neither_a_launch_nor_a_worker(install, broker):
    """It takes connections and answers nothing."""
    installation = install(CELERY_BROKER_URL=broker.url)
    worker = installation.start_worker(concurrency=6)
    broker.freeze()
    installation.launch(6)
    assert installation.time_to_resume("broker frozen") < 5 * RESUMED_WITHIN
    installation.wait_until_ended()
    broker.thaw()
    assert installation.examine().problems == []
    assert worker.poll() is None
