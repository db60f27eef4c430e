"""Leases are renewed while rollouts run; a rollout whose lease is lost is stopped."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db.models import F
from django.utils import timezone

from rlm_runs.engine.errors import Stopped
from rlm_runs.execution.leases import LeaseKeeper
from rlm_runs.models import Experiment, Rollout


def long_ago():
    return timezone.now() - timedelta(hours=2)


@contextmanager
def keeping():
    """A keeper whose thread runs."""
    keeper, done = LeaseKeeper(), threading.Event()
    thread = threading.Thread(target=keeper.keep, args=[done])
    thread.start()
    try:
        yield keeper
    finally:
        done.set()
        thread.join()


@pytest.mark.django_db(transaction=True)
class TestLease:
    """The keeper renews leases in a thread with a connection of its own."""

    def test_it_is_renewed_while_the_body_runs(self, make_rollout, settings):
        settings.RLM_LEASE_SECONDS = 3
        rollout = make_rollout(lease_expires_at=long_ago())
        with keeping() as keeper, keeper.held(rollout) as control:
            assert _until(lambda: _fresh(rollout).lease_expires_at > timezone.now())
            assert control.reason == ""

    def test_cancelling_stops_the_body(self, make_rollout, settings):
        settings.RLM_LEASE_SECONDS = 3
        rollout = make_rollout()
        with keeping() as keeper, keeper.held(rollout) as control:
            Experiment.objects.update(cancelled_at=timezone.now())
            assert _until(lambda: control.reason == "cancelled")

    def test_a_takeover_stops_the_body(self, make_rollout, settings):
        settings.RLM_LEASE_SECONDS = 3
        rollout = make_rollout()
        with keeping() as keeper, keeper.held(rollout) as control:
            Rollout.objects.update(claims=F("claims") + 1)
            assert _until(lambda: control.reason == "interrupted")

    def test_a_process_that_was_frozen_does_nothing_until_it_knows_what_it_still_has(self, make_rollout, settings):
        """Nobody renews: the keeper's thread does not run."""
        settings.RLM_LEASE_SECONDS = 0.2
        rollout, keeper, passed = make_rollout(), LeaseKeeper(), threading.Event()
        with keeper.held(rollout) as control, control.child() as of_a_sub_call:

            def go_on():
                of_a_sub_call.check()
                passed.set()

            control.check()
            time.sleep(0.3)
            thread = threading.Thread(target=go_on)
            thread.start()
            assert not passed.wait(0.3)
            settings.RLM_LEASE_SECONDS = 60
            keeper.renew()
            assert passed.wait(5)
            thread.join()

    def test_a_process_that_was_frozen_stops_what_it_lost(self, make_rollout, settings):
        settings.RLM_LEASE_SECONDS = 0.2
        rollout = make_rollout()
        with keeping() as keeper:
            Rollout.objects.update(claims=F("claims") + 1)
            with keeper.held(rollout) as control:
                time.sleep(0.3)
                with pytest.raises(Stopped):
                    control.check()

    def test_a_worker_that_shuts_down_interrupts_all_it_has(self, make_rollout):
        keeper = LeaseKeeper()
        with keeper.held(make_rollout()) as control:
            keeper.interrupt_all()
            assert control.reason == "interrupted"

    def test_a_rollout_that_begins_during_the_shutdown_is_interrupted(self, make_rollout):
        keeper = LeaseKeeper()
        keeper.interrupt_all()
        with keeper.held(make_rollout()) as control:
            assert control.reason == "interrupted"


def _fresh(rollout):
    return Rollout.objects.get(pk=rollout.pk)


def _until(holds, *, seconds=15):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if holds():
            return True
        time.sleep(0.05)
    return False
