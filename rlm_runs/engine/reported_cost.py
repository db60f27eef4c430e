"""The cost of a call as its provider reports it, in the usage object of the response."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

_TICKS = Decimal(10_000_000_000)
"""The number of xAI's ticks in a dollar."""
_MOST = Decimal(1_000_000)
"""A larger number of dollars for one call must mean something else."""


def reported_cost(usage: Mapping[str, Any]) -> Decimal | None:
    """Returns the dollars of one call; None if the provider reports nothing usable.

    OpenRouter sends `cost` and, for a caller's own key, the upstream provider's charge beside it; Perplexity sends
    `cost.total_cost`; xAI sends `cost_in_usd_ticks`.
    """
    ticks = _amount(usage.get("cost_in_usd_ticks"))
    if ticks is not None:
        return _plausible(ticks / _TICKS)
    given = usage.get("cost")
    total = _amount(given.get("total_cost") if isinstance(given, Mapping) else given)
    if total is None:
        return None
    details = usage.get("cost_details")
    if usage.get("is_byok") is True and isinstance(details, Mapping):
        total += _amount(details.get("upstream_inference_cost")) or 0
    return _plausible(total)


def _amount(value: Any) -> Decimal | None:
    """Returns a JSON number without binary rounding noise; None if it is not an amount."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and amount >= 0 else None


def _plausible(dollars: Decimal) -> Decimal | None:
    return dollars.quantize(Decimal("1e-10")) if dollars <= _MOST else None
