"""What a model call costs, by the price list in `prices.toml`."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from .engine.events import Usage

_PER_MILLION = Decimal(1_000_000)


class Price(BaseModel):
    """Dollars per million tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: Decimal
    cached: Decimal
    completion: Decimal


class PriceList(BaseModel):
    """Prices by model, and the version of the list."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    models: dict[str, Price]

    def cost(self, model: str, usage: Usage) -> Decimal | None:
        """Dollars of one call; None where the model has no price here or the API reported no usage.

        Cached tokens are a part of the prompt tokens: each is priced once, as cached.
        """
        price = self.models.get(model)
        if price is None or usage.prompt is None or usage.completion is None:
            return None
        cached = min(usage.cached or 0, usage.prompt)
        dollars = (usage.prompt - cached) * price.prompt + cached * price.cached
        return (dollars + usage.completion * price.completion) / _PER_MILLION


@cache
def price_list() -> PriceList:
    """The list that calls are priced by."""
    return PriceList.model_validate(tomllib.loads((Path(__file__).parent / "prices.toml").read_text()))
