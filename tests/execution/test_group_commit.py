"""Rollouts share transactions: one of them cannot fail the others, and one that was taken over writes nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection

from rlm_runs.execution import group_commit
from rlm_runs.execution.group_commit import GroupCommit
from rlm_runs.execution.recorder import ClaimLost, Recorder
from rlm_runs.models import Rollout, Trajectory, Turn

from .test_recorder import rlm_rollout

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def commits():
    commits = GroupCommit()
    yield commits
    connection.close()


def play(commits, rollout, events=None):
    recorder = Recorder(rollout)
    for event in events or rlm_rollout():
        commits.record(recorder, [event])


def test_rollouts_that_record_at_a_time_are_all_stored(make_rollout, commits):
    rollouts = [make_rollout() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda rollout: play(commits, rollout), rollouts))
    assert Turn.objects.count() == 8 * Turn.objects.filter(trajectory__rollout=rollouts[0]).count() > 0
    assert {rollout.status for rollout in Rollout.objects.all()} == {"completed"}
    call_command("check_store")


def test_one_that_was_taken_over_writes_nothing_more(make_rollout, commits):
    lost, other = make_rollout(), make_rollout()
    *before, end = rlm_rollout()
    recorder = Recorder(lost)
    commits.record(recorder, before[:3])
    stored = Turn.objects.count()
    Rollout.objects.filter(pk=lost.pk).update(claims=lost.claims + 1)
    for events in (before[3:], [end]):
        with pytest.raises(ClaimLost):
            commits.record(recorder, events)
    play(commits, other)
    assert Turn.objects.filter(trajectory__rollout=lost).count() == stored
    assert Rollout.objects.get(pk=other.pk).status == "completed"
    assert Rollout.objects.get(pk=lost.pk).status == "running"


def test_one_that_cannot_be_stored_does_not_fail_the_others(make_rollout, commits):
    good, bad = Recorder(make_rollout()), Recorder(make_rollout())
    requests = []
    for recorder in (good, bad):
        events = list(rlm_rollout())[:2]
        if recorder is bad:
            events[1] = replace(events[1], kind="a kind that is far too long for its column")
        requests.append(group_commit._Request(recorder, events))
    commits._commit(requests)
    assert requests[0].done.exception() is None
    assert "too long" in str(requests[1].done.exception())
    assert [one.rollout_id for one in Trajectory.objects.all()] == [good.rollout.pk]


def test_a_commit_whose_confirmation_is_lost_is_stored_once(make_rollout, commits, monkeypatch):
    """Each transaction is committed and then seems to have failed; each is written a second time."""
    write, tries = GroupCommit._write, []

    def unconfirmed(self, requests):
        written = write(self, requests)
        tries.append(len(requests))
        if len(tries) % 2:
            raise OperationalError("the connection broke")
        return written

    monkeypatch.setattr(GroupCommit, "_write", unconfirmed)
    rollout = make_rollout()
    play(commits, rollout)
    assert len(tries) == 2 * len(list(rlm_rollout()))
    rollout.refresh_from_db()
    assert rollout.status == "completed"
    assert rollout.turns == Turn.objects.filter(trajectory__rollout=rollout, trajectory__kind="root").count()
    call_command("check_store")
