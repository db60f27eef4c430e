"""The gate that all processes share: who waits, who may go, and how few queries that takes."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from rlm_runs.engine.cancellation import CancellationToken
from rlm_runs.engine.clients.gate import Outcome
from rlm_runs.engine.errors import Stopped
from rlm_runs.engine.events import Usage
from rlm_runs.execution.endpoints import Endpoint, ModelChoice, ServedModel
from rlm_runs.execution.limits import gates
from rlm_runs.execution.limits.gates import SharedGate
from rlm_runs.execution.limits.keeper import Keeper
from rlm_runs.models import EndpointLease, EndpointState

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def keepers(monkeypatch):
    """A keeper of the test's own: what is known of the database ends with the test."""
    keeper = Keeper()
    monkeypatch.setattr(gates, "KEEPER", keeper)
    yield keeper
    keeper.close()


def gate(**limits):
    served = ServedModel(name="m")
    endpoint = Endpoint(name="e", title="E", base_url="http://x/v1", models=(served,), **limits)
    return SharedGate(ModelChoice(served, endpoint))


def other_process(**holding):
    """The lease of a process elsewhere."""
    EndpointState.objects.get_or_create(name="e")
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO rlm_runs_endpointlease"
            " (state_id, process, places, wanted, waiting, waiting_tokens, expires_at)"
            " VALUES ('e', 'elsewhere', %s, %s, %s, 0, now() + make_interval(secs => %s))",
            [holding.get("places", 0), holding.get("wanted", 0), holding.get("waiting", 0), holding["seconds"]],
        )


def test_calls_without_limits_pass_at_once():
    free = gate()
    began = time.monotonic()
    for _ in range(100):
        with free.passed(CancellationToken(), tokens=10):
            pass
    assert time.monotonic() - began < 10


def test_a_thousand_calls_wait_and_take_few_queries(keepers):
    places, most, busy, lock = gate(concurrency=50), 0, 0, threading.Lock()

    def call(_):
        nonlocal most, busy
        with places.passed(CancellationToken(), tokens=10):
            with lock:
                busy += 1
                most = max(most, busy)
            time.sleep(0.02)
            with lock:
                busy -= 1

    exchanges = []
    exchange = keepers._exchange
    keepers._exchange = lambda scopes: (exchanges.append(1), exchange(scopes))[1]
    with ThreadPoolExecutor(1000) as pool:
        list(pool.map(call, range(1500)))
    assert most == 50
    assert len(exchanges) < 150


def test_places_of_another_process_are_not_given_away_until_its_lease_is_over():
    other_process(places=2, wanted=2, seconds=1.5)
    began = time.monotonic()
    with gate(concurrency=2).passed(CancellationToken(), tokens=1):
        waited = time.monotonic() - began
    assert 1.2 < waited < 6


def test_who_was_stopped_waits_no_longer_and_leaves_nothing_taken():
    other_process(places=1, wanted=1, seconds=3)
    one = gate(concurrency=1)
    for _ in range(3):
        control = CancellationToken()
        timer = threading.Timer(0.1, control.stop, args=["cancelled"])
        timer.start()
        with pytest.raises(Stopped), one.passed(control, tokens=1):
            pass
        timer.join()
    with one.passed(CancellationToken(), tokens=1):
        pass


def test_requests_have_their_distance():
    paced, came = gate(requests_per_minute=120), []
    for _ in range(5):
        with paced.passed(CancellationToken(), tokens=1):
            came.append(time.monotonic())
    assert came[-1] - came[0] > 0.9  # the first three share the first second


def test_tokens_are_counted_as_they_were_used():
    small = gate(tokens_per_minute=1000)
    with small.passed(CancellationToken(), tokens=900) as report:
        report(Outcome(usage=Usage(prompt=5, completion=5)))
    began = time.monotonic()
    with small.passed(CancellationToken(), tokens=900) as report:
        report(Outcome(usage=Usage(prompt=5, completion=5)))
    assert time.monotonic() - began < 30


def test_a_retry_after_holds_every_call_back_and_is_told_to_the_others():
    one = gate()
    with one.passed(CancellationToken(), tokens=1) as report:
        report(Outcome(retry_after=1.5))
    began = time.monotonic()
    with one.passed(CancellationToken(), tokens=1):
        assert 1.2 < time.monotonic() - began < 6
    assert EndpointState.objects.get(name="e").blocked_until is not None


def test_a_process_that_is_done_gives_its_places_back():
    with gate(concurrency=3).passed(CancellationToken(), tokens=1):
        assert EndpointLease.objects.get(state="e").places >= 1
    until = time.monotonic() + 10
    while EndpointLease.objects.exists():
        assert time.monotonic() < until
        time.sleep(0.05)
