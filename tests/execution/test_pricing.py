"""What a call costs by its rates."""

from __future__ import annotations

from decimal import Decimal

import pytest

from rlm_runs.engine.events import Usage
from rlm_runs.execution.pricing import Price

PRICE = Price(prompt="1", cached="0.1", completion="10")


def test_cached_tokens_are_priced_once_as_cached():
    usage = Usage(prompt=1_000_000, cached=400_000, completion=100_000, reasoning=90_000)
    assert PRICE.cost(usage) == Decimal("0.6") + Decimal("0.04") + Decimal("1.0")


def test_what_is_not_known_has_no_cost():
    assert PRICE.cost(Usage()) is None
    assert PRICE.cost(Usage(prompt=1)) is None


def test_written_and_reasoning_tokens_have_rates_of_their_own():
    price = Price(prompt="1", cached="0.1", cache_write="1.25", completion="10", reasoning="4")
    usage = Usage(prompt=1_000_000, cached=200_000, cache_write=300_000, completion=100_000, reasoning=40_000)
    assert price.cost(usage) == sum(map(Decimal, ("0.5", "0.02", "0.375", "0.6", "0.16")))


def test_without_a_rate_of_their_own_they_cost_as_what_they_are_part_of():
    usage = Usage(prompt=1_000_000, cached=200_000, cache_write=300_000, completion=100_000, reasoning=40_000)
    assert Price(prompt="1", completion="10").cost(usage) == Decimal(2)


def test_parts_that_exceed_their_whole_are_not_priced_twice():
    usage = Usage(prompt=100, cached=500, cache_write=500, completion=10, reasoning=99)
    assert PRICE.cost(usage) == (100 * Decimal("0.1") + 10 * Decimal(10)) / 1_000_000


@pytest.mark.parametrize(
    ("prompt", "dollars"), [(200_000, "0.2"), (200_001, "0.400002"), (500_000, "1"), (500_001, "1.500003")]
)
def test_a_tier_holds_for_all_tokens_of_a_call_above_its_limit(prompt, dollars):
    tiers = [
        {"above": 500_000, "prompt": "3", "completion": "9"},
        {"above": 200_000, "prompt": "2", "completion": "9"},
    ]
    price = Price(prompt="1", completion="5", tiers=tiers)
    assert price.cost(Usage(prompt=prompt, completion=0)) == Decimal(dollars)


def test_a_fee_per_call_is_added():
    assert Price(prompt="0", completion="0", call="0.005").cost(Usage(prompt=9, completion=9)) == Decimal("0.005")


def test_a_cost_has_the_digits_that_the_store_keeps():
    price = Price(prompt="0.003625", completion="0")
    assert str(price.cost(Usage(prompt=1, completion=0))) == "3.6E-9"
    assert price.cost(Usage(prompt=3, completion=0)) == Decimal("1.09E-8")


def test_the_mark_changes_with_the_price_and_with_nothing_else():
    assert Price(prompt="1", completion="2").mark == Price(completion="2", prompt="1").mark
    assert Price(prompt="1", completion="2").mark != Price(prompt="1", completion="2.5").mark
