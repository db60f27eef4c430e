"""The purse: processes share a budget, calls in flight count, and nothing begins that has no room."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from django.db import connection

from rlm_runs.engine.cancellation import CancellationToken
from rlm_runs.engine.clients.base import Completion
from rlm_runs.engine.errors import ModelFailure, Stopped
from rlm_runs.engine.events import TurnEnded, Usage
from rlm_runs.engine.rollout_context import now
from rlm_runs.execution.spending import client as clients
from rlm_runs.execution.spending import ledger
from rlm_runs.execution.spending.amounts import Amount, Budget
from rlm_runs.execution.spending.client import AccountedClient, account_of
from rlm_runs.execution.spending.ledger import budget_of
from rlm_runs.execution.spending.purse import Purse
from rlm_runs.models import Experiment, ExperimentSpending

pytestmark = pytest.mark.django_db(transaction=True)
CENT = Decimal("0.01")


class Server:
    """A client whose calls take a while, cost a cent and have 10 tokens; it counts those in flight."""

    def __init__(self, outcome=None, seconds=0.05):
        self.outcome = outcome or Usage(prompt=5, completion=5)
        self.seconds, self.lock = seconds, threading.Lock()
        self.calls = self.busy = self.most = 0

    def complete(self, **_):
        with self.lock:
            self.calls += 1
            self.busy += 1
            self.most = max(self.most, self.busy)
        time.sleep(self.seconds)
        with self.lock:
            self.busy -= 1
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return Completion(usage=self.outcome)


@pytest.fixture(autouse=True)
def purse(monkeypatch):
    found = Purse()
    monkeypatch.setattr(clients, "PURSE", found)
    yield found
    found.close()


@pytest.fixture
def experiment(db):
    return Experiment.objects.create(slug="e", name="e", spec={}, seed=1, budget_dollars=Decimal("0.10"))


def price(_, usage):
    return None if usage.completion is None else CENT


def ask(client, control=None):
    return client.complete(model="of-test-purse", messages=[], sampling={}, control=control or CancellationToken())


def spend(experiment, server, *, calls):
    """Calls of as many rollouts. Returns how many were made; the others were given back."""

    def one(_):
        control = CancellationToken()
        with account_of(experiment.pk, budget_of(experiment), price=price) as account:
            try:
                ask(AccountedClient(server, account), control)
            except Stopped:
                assert control.was_given_back
                return 0
            except ModelFailure:
                return 1
        return 1

    with ThreadPoolExecutor(calls) as pool:
        return sum(pool.map(one, range(calls)))


def store(experiment, *, calls, process="elsewhere"):
    """What another process has stored."""
    ExperimentSpending.objects.update_or_create(
        experiment=experiment, process=process, defaults={"dollars": CENT * calls, "tokens": 10 * calls}
    )


def test_no_more_is_in_flight_than_the_budget_has_room_for(experiment):
    """Nothing is stored meanwhile: what calls in flight will cost is known here alone."""
    server = Server()
    Experiment.objects.filter(pk=experiment.pk).update(budget_dollars=CENT * 4)
    experiment.refresh_from_db()
    stop = threading.Timer(1.5, lambda: (pause(experiment), connection.close()))
    stop.start()
    assert spend(experiment, server, calls=20) == 4
    stop.join()
    assert server.most <= 4


def pause(experiment):
    Experiment.objects.filter(pk=experiment.pk).update(paused_at=now(), paused_by_budget=True)


def test_what_others_spent_and_were_granted_counts(experiment):
    store(experiment, calls=10)
    server = Server()
    assert spend(experiment, server, calls=5) == 0
    experiment.refresh_from_db()
    assert experiment.paused_by_budget


def test_a_grant_of_a_dead_process_comes_back(experiment):
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO rlm_runs_experimentspending (experiment_id, process, granted_dollars, expires_at)"
            " VALUES (%s, 'dead', 0.1, now() + interval '1.5 seconds')",
            [experiment.pk],
        )
    began = time.monotonic()
    assert spend(experiment, Server(), calls=1) == 1
    assert time.monotonic() - began > 1


def test_without_a_budget_nothing_waits_and_a_new_one_is_noticed(experiment):
    Experiment.objects.filter(pk=experiment.pk).update(budget_dollars=None)
    with account_of(experiment.pk, Budget(), price=price) as account:
        client = AccountedClient(Server(), account)
        ask(client)
        store(experiment, calls=1000)
        Experiment.objects.filter(pk=experiment.pk).update(budget_dollars=CENT)
        time.sleep(1)
        control = CancellationToken()
        with pytest.raises(Stopped):
            ask(client, control)
        assert control.was_given_back


def test_a_rollout_is_given_back_only_when_its_other_calls_have_ended(experiment):
    """The budget has room for one call; it takes longer than the pause."""
    store(experiment, calls=9)
    slow = Server(seconds=1.5)
    control = CancellationToken()
    with (
        account_of(experiment.pk, budget_of(experiment), price=price) as account,
        ThreadPoolExecutor(2) as pool,
        control.child() as one,
        control.child() as other,
    ):
        first = pool.submit(ask, AccountedClient(slow, account), one)
        time.sleep(0.5)
        store(experiment, calls=10)
        second = pool.submit(ask, AccountedClient(slow, account), other)
        assert first.result().usage.prompt == 5
        with pytest.raises(Stopped):
            second.result()
    assert slow.calls == 1


@pytest.mark.parametrize("refused", [True, False])
def test_a_failed_call_counts_at_its_estimate_unless_it_was_refused(experiment, refused):
    failure = ModelFailure("no")
    failure.cost = Decimal(0) if refused else None
    with account_of(experiment.pk, budget_of(experiment), price=price) as account:
        with pytest.raises(ModelFailure):
            ask(AccountedClient(Server(failure), account))
        assert account.account.spent.dollars == (0 if refused else CENT)
        assert account.account.assumed == account.account.spent


def test_turns_are_summed_up_by_experiment():
    def turn(cost, **usage):
        return TurnEnded(0, 0, now(), 1.0, usage=Usage(**usage), cost=cost)

    totals = ledger.with_events({}, [(1, [turn(CENT, prompt=3, completion=4)]), (2, [turn(None)])])
    totals = ledger.with_events(totals, [(1, [turn(CENT), turn(None, prompt=1)])])
    assert totals == {1: ledger.Spent(Amount(2 * CENT, 8), 1)}
