"""The cost of a model call, by the price list in `prices.toml`."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from ..engine.events import Usage

_PER_MILLION = Decimal(1_000_000)


class Price(BaseModel):
    """Dollars per million tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: Decimal = Field(ge=0, allow_inf_nan=False)
    cached: Decimal = Field(ge=0, allow_inf_nan=False)
    completion: Decimal = Field(ge=0, allow_inf_nan=False)


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

    def overridden(self, prices: Mapping[str, Price]) -> PriceList:
        """Returns this list with other prices for some models, and a version of its own."""
        if not prices:
            return self
        said = json.dumps({name: price.model_dump(mode="json") for name, price in sorted(prices.items())})
        mark = hashlib.sha256(said.encode()).hexdigest()[:8]
        return PriceList(version=f"{self.version}+{mark}", models={**self.models, **prices})


@cache
def price_list() -> PriceList:
    """The list that calls are priced by."""
    return PriceList.model_validate(tomllib.loads((Path(__file__).parent / "prices.toml").read_text()))
