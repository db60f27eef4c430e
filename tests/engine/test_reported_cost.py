"""The cost that a provider reports with its usage."""

from __future__ import annotations

from decimal import Decimal

import pytest

from rlm_runs.engine.events import TurnEnded
from rlm_runs.engine.reported_cost import reported_cost
from tests.engine.riddle import of
from tests.scripted_server import completion


@pytest.mark.parametrize(
    ("usage", "dollars"),
    [
        ({"cost": 0.00014}, "0.00014"),
        ({"cost": 0}, "0"),
        ({"cost": "0.25"}, "0.25"),
        ({"cost": 0.1 + 0.2}, "0.3"),
        ({"cost": 1e-07}, "0.0000001"),
        # What the upstream provider took is part of the cost, unless the caller's own key paid it.
        ({"cost": 0.95, "is_byok": False, "cost_details": {"upstream_inference_cost": 0.9}}, "0.95"),
        ({"cost": 0.05, "is_byok": True, "cost_details": {"upstream_inference_cost": 1}}, "1.05"),
        ({"cost": 0.05, "is_byok": True, "cost_details": {"upstream_inference_cost": None}}, "0.05"),
        ({"cost": {"input_tokens_cost": 0.001, "total_cost": 0.006}}, "0.006"),
        ({"cost_in_usd_ticks": 37_756_000}, "0.0037756"),
    ],
)
def test_it_is_read_as_providers_write_it(usage, dollars):
    assert reported_cost(usage) == Decimal(dollars)


@pytest.mark.parametrize(
    "usage",
    [
        {},
        {"cost": None},
        {"cost": True},
        {"cost": -1},
        {"cost": "free"},
        {"cost": float("nan")},
        {"cost": float("inf")},
        {"cost": 1e12},
        {"cost": [1]},
        {"cost": {"currency": "USD"}},
        {"cost_details": {"upstream_inference_cost": 1}},
    ],
)
def test_what_is_no_amount_is_not_one(usage):
    assert reported_cost(usage) is None


def test_it_is_recorded_beside_ours(play):
    turns = of(play(lambda _: completion("4", cost=0.0123)), TurnEnded)
    assert {(turn.cost, turn.provider_cost) for turn in turns} == {(Decimal("0.001"), Decimal("0.0123"))}
    assert {turn.provider_cost for turn in of(play(lambda _: completion("4")), TurnEnded)} == {None}
