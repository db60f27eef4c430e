"""The price of a model: its own in the endpoints file, else that of the list at the endpoint's provider.

The provider is the one whose API is at the endpoint's address, or the one that the endpoint names. A self-hosted
server has none, whatever names it serves: a local model called `gpt-4o` has no known price unless the endpoints
file gives it one.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path

from django.utils import timezone

from ..engine.events import Cost, Usage
from . import listed_prices
from .endpoints import ModelChoice, model_choices
from .pricing import Price


@dataclass(frozen=True)
class KnownPrice:
    """A price and its version, which names the source. `since` is as in `listed_prices.Listed`."""

    price: Price
    version: str
    since: date | None = None

    @property
    def is_listed(self) -> bool:
        """Whether the price comes from genai-prices."""
        return self.version == listed_prices.VERSION


class Prices:
    """The prices of models, by the current endpoints file."""

    def __init__(self, choices: Iterable[ModelChoice]) -> None:
        self._choices = {choice.name: choice for choice in choices}
        self._sources: dict[str, _Source] = {}

    def cost(self, model: str, usage: Usage, at: datetime) -> Cost | None:
        """Returns the dollars of one call that ended at `at`; None if its price or its usage is unknown."""
        known = self.of(model, at=at)
        dollars = known.price.cost(usage) if known else None
        return None if known is None or dollars is None else Cost(dollars, known.version)

    def of(self, model: str, *, at: datetime) -> KnownPrice | None:
        """Returns the price of a model at a given time; None if unknown."""
        source = self._sources.get(model)
        if source is None:
            choice = self._choices.get(model)
            if choice is None:
                return None
            source = self._sources[model] = _source_of(choice)
        return source.at(at)

    def dollars(self, model: str, usage: Usage, *, calls: int = 1) -> Decimal | None:
        """Returns the dollars of `calls` similar calls made now, with this usage in total; None without a
        price.
        """
        known = self.of(model, at=timezone.now())
        return known.price.cost(usage, calls=calls) if known else None


def prices() -> Prices:
    """Returns the prices of all models that can be named."""
    return Prices(model_choices())


def price_of(choice: ModelChoice, *, at: datetime) -> KnownPrice | None:
    """Returns the price of a model at a given time; None if unknown."""
    return _source_of(choice).at(at)


@dataclass(frozen=True)
class _Source:
    """The source of a model's price: its own price, a provider's list, or neither."""

    model: str
    own: KnownPrice | None = None
    provider: str = ""
    tier: str = ""

    def at(self, moment: datetime) -> KnownPrice | None:
        """Returns the price at a given time; None if unknown."""
        if self.own is not None or not self.provider:
            return self.own
        found = listed_prices.listed(self.provider, self.model, at=moment, tier=self.tier)
        return KnownPrice(found.price, listed_prices.VERSION, found.since) if found else None


def _source_of(choice: ModelChoice) -> _Source:
    own = choice.served.price
    if own is not None:
        return _Source(choice.name, KnownPrice(own, f"endpoints file {own.mark}"))
    if choice.simulated:
        return _Source(choice.name, _simulated().get(choice.name))
    return _Source(choice.name, provider=provider_of(choice), tier=_tier(choice))


def provider_of(choice: ModelChoice) -> str:
    """Returns the provider of genai-prices that sells the model; "" if none does."""
    named = choice.endpoint.provider
    return "" if named == "none" else named or _provider_at(choice.endpoint.url)


def listed_window(choice: ModelChoice, *, at: datetime) -> int | None:
    """Returns the listed context window in tokens, for a model whose endpoint does not state it; None if
    unknown.
    """
    provider = provider_of(choice)
    found = listed_prices.listed(provider, choice.name, at=at) if provider else None
    return found.window if found else None


_provider_at = cache(listed_prices.provider_at)


def _tier(choice: ModelChoice) -> str:
    """Returns the service tier that the model's requests ask for; "" for the standard tier."""
    return str(choice.calls.request.get("service_tier") or "")


@cache
def _simulated() -> dict[str, KnownPrice]:
    """Returns the prices of simulated models."""
    told = tomllib.loads((Path(__file__).parent / "simulated_prices.toml").read_text())
    return {
        name: KnownPrice(Price.model_validate(price), f"simulated {told['version']}")
        for name, price in told["models"].items()
    }
