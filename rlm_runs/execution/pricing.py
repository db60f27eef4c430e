"""The price of model calls: rates in dollars per million tokens, and the arithmetic on them."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ..engine.events import Usage

_PER_MILLION = Decimal(1_000_000)
_STORED = Decimal("1e-10")
"""The smallest amount that the store keeps. A cost is rounded before it is recorded, so that both agree."""


class Rates(BaseModel):
    """Dollars per million tokens. If None, cached and written tokens cost as much as the prompt, reasoning as the
    completion.

    Cached and written tokens are parts of the prompt; reasoning is a part of the completion. Each token is priced
    once.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: Decimal = Field(ge=0, allow_inf_nan=False)
    cached: Decimal | None = Field(default=None, ge=0, allow_inf_nan=False)
    cache_write: Decimal | None = Field(default=None, ge=0, allow_inf_nan=False)
    completion: Decimal = Field(ge=0, allow_inf_nan=False)
    reasoning: Decimal | None = Field(default=None, ge=0, allow_inf_nan=False)


class Tier(Rates):
    """Rates of all tokens of a call whose prompt is longer than `above` tokens."""

    above: int = Field(ge=1)


class Price(Rates):
    """A model's price: its rates, those of longer prompts, and dollars per call if calls have a fee."""

    tiers: tuple[Tier, ...] = ()
    call: Decimal = Field(default=Decimal(0), ge=0, allow_inf_nan=False)

    @field_validator("tiers")
    @classmethod
    def _in_order(cls, given: tuple[Tier, ...]) -> tuple[Tier, ...]:
        return tuple(sorted(given, key=lambda tier: tier.above))

    def rates(self, prompt: int) -> Rates:
        """Returns the rates of a call with this number of prompt tokens."""
        reached = [tier for tier in self.tiers if prompt > tier.above]
        return reached[-1] if reached else self

    def cost(self, usage: Usage, *, calls: int = 1) -> Decimal | None:
        """Returns the dollars of one call, or of `calls` similar ones with this total usage; None if unknown."""
        if usage.prompt is None or usage.completion is None:
            return None
        rates = self.rates(usage.prompt // calls)
        cached = min(usage.cached or 0, usage.prompt)
        written = min(usage.cache_write or 0, usage.prompt - cached)
        reasoning = min(usage.reasoning or 0, usage.completion)
        dollars = (
            (usage.prompt - cached - written) * rates.prompt
            + cached * _first_known(rates.cached, rates.prompt)
            + written * _first_known(rates.cache_write, rates.prompt)
            + (usage.completion - reasoning) * rates.completion
            + reasoning * _first_known(rates.reasoning, rates.completion)
        )
        return (dollars / _PER_MILLION + calls * self.call).quantize(_STORED)

    @property
    def mark(self) -> str:
        """Returns eight hexadecimal digits that change with any number of the price."""
        said: dict[str, Any] = self.model_dump(exclude_defaults=True)
        return hashlib.sha256(repr(sorted(said.items())).encode()).hexdigest()[:8]


def _first_known(rate: Decimal | None, other: Decimal) -> Decimal:
    return other if rate is None else rate
