"""What a provider reports stands beside our cost: on pages, in the API and in exports."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from dashboard.formatting import beyond
from rlm_runs.analysis import aggregates
from rlm_runs.models import Rollout, Turn


@pytest.fixture
def billed(played):
    """A priced rollout of an experiment, whose provider reports 10 % more for each call."""
    rollout = played.rollouts().filter(status="completed", cost__gt=0, reported=False).first()
    for turn in Turn.objects.filter(trajectory__rollout=rollout, error="").exclude(trajectory__kind="judge"):
        turn.provider_cost = turn.cost * Decimal("1.1")
        turn.save(update_fields=["provider_cost"])
    Rollout.objects.filter(pk=rollout.pk).update(provider_cost=rollout.cost * Decimal("1.1"))
    aggregates.forget()
    rollout.refresh_from_db()
    return rollout


@pytest.mark.parametrize(
    ("theirs", "ours", "said"),
    [
        ("1.1", "1", "+$0.100, +10.0 %"),
        ("0.9", "1", "−$0.100, −10.0 %"),
        ("1", "1", "equal"),
        ("0.5", "0", "+$0.500"),
    ],
)
def test_a_difference_in_words(theirs, ours, said):
    assert beyond(Decimal(theirs), Decimal(ours)) == said


def test_the_rollouts_page_shows_both_and_the_difference(reader, billed):
    page = reader.get(billed.get_absolute_url()).content.decode()
    assert page.count("+10.0 %)") >= 2  # in its head, and at its turns
    assert 'title="by test"' in page


def test_the_experiments_page_sums_them(reader, billed):
    page = reader.get(billed.experiment.get_absolute_url()).content.decode()
    assert "Of 1 rollout whose provider reports" in page
    assert "+10.0 %)" in page


def test_without_a_report_nothing_is_said(reader, played):
    aggregates.forget()
    assert "provider" not in reader.get(played.get_absolute_url()).content.decode().lower().split("<main")[1]


def test_the_api_has_both(reader, billed):
    found = json.loads(reader.get(f"/api/rollouts/{billed.pk}/").content)
    turn = found["trajectories"][0]["turns"][0]
    assert turn["price_version"] == "test"
    assert turn["provider_cost"] == pytest.approx(turn["cost"] * 1.1)
    bill = json.loads(reader.get(f"/api/experiments/{billed.experiment.slug}/").content)["provider_bill"]
    assert (bill["rollouts"], bill["priced"]) == (1, 1)
    assert bill["difference"] == pytest.approx(float(billed.cost) / 10)


def test_the_export_has_a_column(reader, billed):
    response = reader.get(f"/rollouts.csv?q=id%3A{billed.pk}&columns=id,cost,providercost")
    _head, row = b"".join(response).decode().splitlines()
    assert Decimal(row.split(",")[2]) == billed.provider_cost
    assert reader.get("/rollouts/?columns=id,providercost&sort=-providercost").status_code == 200
