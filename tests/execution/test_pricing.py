"""What a call costs."""

from __future__ import annotations

from decimal import Decimal

from rlm_runs.engine.events import Usage
from rlm_runs.execution.pricing import Price, PriceList, price_list

PRICES = PriceList(
    version="test",
    models={"m": Price(prompt=Decimal("1"), cached=Decimal("0.1"), completion=Decimal("10"))},
)


def test_cached_tokens_are_priced_once_as_cached():
    usage = Usage(prompt=1_000_000, cached=400_000, completion=100_000, reasoning=90_000)
    assert PRICES.cost("m", usage) == Decimal("0.6") + Decimal("0.04") + Decimal("1.0")


def test_what_is_not_known_has_no_cost():
    assert PRICES.cost("other", Usage(prompt=1, completion=1)) is None
    assert PRICES.cost("m", Usage()) is None
    assert PRICES.cost("m", Usage(prompt=1)) is None


def test_the_shipped_list_is_valid():
    assert price_list().cost("gpt-5-mini", Usage(prompt=1_000_000, completion=0)) == Decimal("0.25")
