"""Calls by model and hour: what is stored is counted, once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib import import_module

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.utils import timezone

from rlm_runs.execution import call_counts
from rlm_runs.execution.group_commit import GroupCommit, _Request
from rlm_runs.execution.recorder import Recorder
from rlm_runs.models import Arm, ModelHour, Turn
from tests.execution.test_recorder import play, rlm_rollout
from tests.execution.test_repricing import PRICE, _by_m, price  # noqa: F401 - a fixture

HOUR = datetime(2026, 1, 1, tzinfo=UTC)


def live(rollout, story):
    """Records as a worker does. Returns what was written at once, to be written again."""
    recorder = Recorder(rollout)
    for event in story:
        recorder.add(event)
    return [_Request(recorder, story)]


def sums(model):
    rows = ModelHour.objects.filter(model=model)
    return (
        sum(row.calls for row in rows),
        sum(row.errors for row in rows),
        sum((row.cost for row in rows), Decimal(0)),
    )


def test_every_live_call_is_counted(rollout):
    GroupCommit()._write(live(rollout, list(rlm_rollout())))
    for model in set(Turn.objects.values_list("trajectory__model", flat=True)):
        turns = Turn.objects.filter(trajectory__model=model)
        cost = sum((turn.cost or Decimal(0) for turn in turns), Decimal(0))
        assert sums(model) == (turns.count(), turns.exclude(error="").count(), cost)
    row = ModelHour.objects.first()
    assert (row.hour, row.last_at) == (HOUR, Turn.objects.latest("ended_at").ended_at)


def test_a_transaction_that_is_repeated_counts_once(rollout):
    requests = live(rollout, list(rlm_rollout())[:-1])
    GroupCommit()._write(requests)
    before = list(ModelHour.objects.values_list("model", "calls"))
    GroupCommit()._write(requests)
    assert list(ModelHour.objects.values_list("model", "calls")) == before


def test_imported_calls_are_not_counted(rollout):
    play(rollout, rlm_rollout())
    assert not ModelHour.objects.exists()


def made(hour, *, writer, model="m", calls=1):
    ModelHour.objects.create(model=model, hour=hour, writer=writer, calls=calls, cost=calls, last_at=hour)


@pytest.mark.django_db
def test_folding_sums_writers_and_old_hours_and_loses_nothing():
    now = timezone.now().replace(minute=0, second=0, microsecond=0)
    made(now, writer="a:1")
    for writer in ("a:1", "b:2", ""):
        made(now - timedelta(hours=5), writer=writer, calls=10)
    old = now - timedelta(days=70)
    for days in (0, 1):
        made(old.replace(day=10) + timedelta(days=days), writer="", calls=100)
    for _ in range(2):
        with transaction.atomic():
            call_counts.fold()
        found = {(row.hour, row.writer): (row.calls, row.cost) for row in ModelHour.objects.all()}
        assert found == {
            (now, "a:1"): (1, 1),
            (now - timedelta(hours=5), ""): (30, 30),
            (old.replace(day=1, hour=0), ""): (200, 200),
        }


def test_repricing_corrects_the_spend(rollout, price):  # noqa: F811
    Arm.objects.update(model="m", sub_model="m", endpoint="lab")
    rollout.refresh_from_db()
    GroupCommit()._write(live(rollout, [_by_m(event) for event in rlm_rollout()]))
    before = sums("m")[2]
    price(PRICE)
    call_command("reprice", yes=True)
    cost = sum((turn.cost for turn in Turn.objects.all()), Decimal(0))
    assert sums("m")[2] == cost != before
    assert sums("m")[0] == Turn.objects.count()


def test_the_migration_counts_what_is_stored(rollout):
    GroupCommit()._write(live(rollout, list(rlm_rollout())))
    expected = {}
    for turn in Turn.objects.select_related("trajectory"):
        calls, cost = expected.get(turn.trajectory.model, (0, Decimal(0)))
        expected[turn.trajectory.model] = (calls + 1, cost + (turn.cost or 0))
    ModelHour.objects.all().delete()
    with connection.cursor() as cursor:
        cursor.execute(import_module("rlm_runs.migrations.0017_model_calls")._FILL)
    assert {row.model: (row.calls, row.cost) for row in ModelHour.objects.all()} == expected
