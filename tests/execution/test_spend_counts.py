"""Spend by day, experiment and model: what is stored is counted, once, and stays."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from importlib import import_module

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.utils import timezone

from rlm_runs.execution import deletion, spend_counts
from rlm_runs.execution.group_commit import GroupCommit
from rlm_runs.models import Arm, SpendDay, Turn
from tests.execution.test_call_counts import live
from tests.execution.test_recorder import play, rlm_rollout
from tests.execution.test_repricing import PRICE, _by_m, price  # noqa: F401 - a fixture


def counted():
    """(day, experiment, model) → calls, unpriced calls and cost, summed over writers."""
    found = {}
    for row in SpendDay.objects.all():
        key = row.day, row.experiment_id, row.model
        calls, unpriced, cost = found.get(key, (0, 0, Decimal(0)))
        found[key] = calls + row.calls, unpriced + row.unpriced, cost + row.cost
    return found


def stored():
    """The same, from the calls."""
    found = {}
    for turn in Turn.objects.select_related("trajectory__rollout"):
        key = turn.ended_at.date(), turn.trajectory.rollout.experiment_id, turn.trajectory.model
        calls, unpriced, cost = found.get(key, (0, 0, Decimal(0)))
        found[key] = calls + 1, unpriced + (turn.cost is None), cost + (turn.cost or 0)
    return found


def test_every_live_call_is_counted_once(rollout):
    requests = live(rollout, list(rlm_rollout()))
    GroupCommit()._write(requests)
    assert counted() == stored() != {}


def test_a_transaction_that_is_repeated_counts_once(rollout):
    requests = live(rollout, list(rlm_rollout())[:-1])
    GroupCommit()._write(requests)
    before = counted()
    GroupCommit()._write(requests)
    assert counted() == before


def test_imported_calls_are_not_counted(rollout):
    play(rollout, rlm_rollout())
    assert not SpendDay.objects.exists()


def test_repricing_corrects_the_spend(rollout, price):  # noqa: F811
    Arm.objects.update(model="m", sub_model="m", endpoint="lab")
    rollout.refresh_from_db()
    GroupCommit()._write(live(rollout, [_by_m(event) for event in rlm_rollout()]))
    before = counted()
    price(PRICE)
    call_command("reprice", yes=True)
    assert counted() == stored() != before


def test_folding_sums_the_writers_of_days_that_are_over(experiment):
    today = (timezone.now()).date()
    for days, writer in ((0, "a:1"), (0, "b:2"), (3, "a:1"), (3, "b:2"), (3, "")):
        SpendDay.objects.create(
            day=today - timedelta(days=days), experiment=experiment, model="m", writer=writer, calls=1, cost=2
        )
    for _ in range(2):
        with transaction.atomic():
            spend_counts.fold()
    rows = {(row.day, row.writer): (row.calls, row.cost) for row in SpendDay.objects.all()}
    assert rows == {(today, "a:1"): (1, 2), (today, "b:2"): (1, 2), (today - timedelta(days=3), ""): (3, 6)}


@pytest.mark.django_db(transaction=True)
def test_the_spend_of_a_deleted_experiment_stays(rollout):
    GroupCommit()._write(live(rollout, list(rlm_rollout())))
    before = counted()
    deletion.delete(rollout.arm.experiment)
    deletion.remove_all()
    assert counted() == before
    assert not Turn.objects.exists()


def test_the_migration_counts_what_is_stored(rollout):
    GroupCommit()._write(live(rollout, list(rlm_rollout())))
    SpendDay.objects.all().delete()
    with connection.cursor() as cursor:
        cursor.execute(import_module("rlm_runs.migrations.0025_spend_days")._FILL)
    assert counted() == stored()
