"""Circuits: when they open, who may try, what waits, and what the logs of experiments say."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from rlm_runs.execution import queue
from rlm_runs.execution.circuit_settings import CircuitSettings
from rlm_runs.execution.circuits import store
from rlm_runs.execution.circuits.rules import Health
from rlm_runs.models import Circuit, ExperimentAction, Rollout

RULES = CircuitSettings(in_a_row=3, for_seconds=0, first_wait=10, longest_wait=35)


def health(outcomes, *, window=60, seconds=1.0):
    found = Health()
    for index, good in enumerate(outcomes):
        found.add([good], now=1000 + index * seconds, window=window)
    return found


@pytest.mark.parametrize(
    ("outcomes", "opens"),
    [
        ([False] * 2, False),
        ([False] * 3, True),
        ([False, False, True, False, False], False),
        ([True] * 100 + [False] * 3, True),
        ([], False),
    ],
)
def test_a_circuit_opens_after_failures_in_a_row(outcomes, opens):
    assert health(outcomes).fails(RULES, now=2000) == opens


def test_failures_in_a_row_must_last():
    rules = CircuitSettings(in_a_row=3, for_seconds=10)
    found = health([False] * 9)
    assert not found.fails(rules, now=1009)
    assert found.fails(rules, now=1010)


def test_a_circuit_opens_when_a_share_of_a_window_fails():
    rules = CircuitSettings(in_a_row=1000, share=0.5, window=60, least_calls=30)
    assert health([True, False] * 15).fails(rules, now=1030)
    assert not health([True, False] * 14).fails(rules, now=1030)
    assert not health([True, True, False] * 20, seconds=0.5).fails(rules, now=1030)
    assert not health([False, True] * 15, seconds=10).fails(rules, now=1300)  # the window has fewer


def test_the_wait_grows_up_to_a_limit():
    assert [RULES.wait(probes) for probes in range(4)] == [10, 20, 35, 35]


def fail(model="m", times=3):
    store.report(model, [False] * times, error="HTTP 503: <down>", rules=RULES)


def move(**columns):
    Circuit.objects.update(**{name: timezone.now() + timedelta(seconds=by) for name, by in columns.items()})


def test_an_open_circuit_is_told_in_the_log_of_what_waits_for_it(make_rollout, experiment):
    make_rollout(status=Rollout.Status.QUEUED, attempt=0)
    fail(times=2)
    assert store.open_circuits() == []
    fail(times=1)
    fail()  # of calls that were in flight
    (opened,) = store.open_circuits()
    assert (opened.model, opened.error) == ("m", "HTTP 503: <down>")
    (action,) = ExperimentAction.objects.filter(experiment=experiment)
    assert (action.action, action.actor) == ("circuit opened", "worker")
    assert action.details == {"model": "m", "arms": 1, "error": "HTTP 503: <down>"}


def test_one_call_may_try_at_a_time_and_a_failure_makes_the_wait_longer(db):
    fail()
    assert not store.take_probe("m")
    move(probe_at=-1)
    assert [store.take_probe("m"), store.take_probe("m")] == [True, False]
    store.end_probe("m", good=False, error="still down", rules=RULES)
    found = Circuit.objects.get()
    assert (found.error, found.probes, found.probing_until) == ("still down", 1, None)
    assert 18 < (found.probe_at - timezone.now()).total_seconds() < 21


def test_a_probe_that_is_not_heard_of_again_is_lost(db):
    fail()
    move(probe_at=-1)
    assert store.take_probe("m")
    move(probing_until=-1)
    assert store.take_probe("m")
    store.end_probe("m", good=None, error="", rules=RULES)
    assert store.take_probe("m")


def test_a_probe_that_succeeds_closes_the_circuit(make_rollout, experiment):
    make_rollout(status=Rollout.Status.QUEUED, attempt=0)
    fail()
    store.end_probe("m", good=True, error="", rules=RULES)
    assert store.open_circuits() == []
    assert [action.action for action in ExperimentAction.objects.all()] == ["circuit closed", "circuit opened"]
    fail(times=2)  # the count begins anew
    assert store.open_circuits() == []


def test_a_person_closes_it(make_rollout):
    make_rollout(status=Rollout.Status.QUEUED, attempt=0)
    fail()
    assert store.close("m", actor="ada")
    assert not store.close("m", actor="ada")
    assert ExperimentAction.objects.first().actor == "ada"


def test_arms_of_an_open_circuit_wait_and_others_run(make_rollout, arm):
    waiting = make_rollout(status=Rollout.Status.QUEUED, attempt=0)
    fail(model="other")
    fail()
    assert queue.claim(5) == []
    waiting.refresh_from_db()
    assert (waiting.status, waiting.attempt) == (Rollout.Status.QUEUED, 0)
    arm.model, arm.sub_model = "healthy", "healthy"
    arm.save()
    assert [rollout.pk for rollout in queue.claim(5)] == [waiting.pk]


def test_the_sub_model_counts_where_there_are_sub_llms(make_rollout, arm):
    arm.sub_model = "small"
    arm.save()
    rollout = make_rollout(status=Rollout.Status.QUEUED, attempt=0)
    fail(model="small")
    assert queue.claim(5) == []
    arm.scaffold = "llm"
    arm.save()
    assert [found.pk for found in queue.claim(5)] == [rollout.pk]


def test_one_rollout_is_claimed_when_it_is_time_to_try(make_rollout):
    for _ in range(3):
        make_rollout(status=Rollout.Status.QUEUED, attempt=0)
    fail()
    move(probe_at=-3)
    assert [len(queue.claim(5)), len(queue.claim(5))] == [1, 0]


def test_a_rollout_that_is_given_back_loses_no_attempt(make_rollout):
    rollout = make_rollout(attempt=1)
    for _ in range(15):
        queue.give_back(rollout, counts=False)
        (rollout,) = queue.claim(1)
    queue.give_back(rollout)
    rollout.refresh_from_db()
    assert (rollout.status, rollout.attempt, rollout.given_back) == (Rollout.Status.QUEUED, 16, 15)
