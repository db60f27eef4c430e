"""Prices of genai-prices, a maintained list that ships its data: providers, models and their prices.

A name is matched exactly. genai-prices itself matches prefixes and parts of names, which suits an estimate but not
a bill: it takes `deepseek-r1-distill-qwen-7b` for `deepseek-reasoner`. Here a model is found by a name that its
provider's list spells out, after these changes, each tried in turn:

  1. none, but ignoring case;
  2. without the provider's own name in front: `openai/gpt-5-mini` at OpenAI, `models/gemini-2.5-pro` at Google;
  3. without a date or `latest` at the end: `-2025-08-07`, `-20250807`, `@20250807`, `-latest`.

OpenRouter's variants (`:free`, `:nitro`) are separate names. `:free` is free; another variant that the list does
not spell out has no known price. There is no fallback to another provider, because it has its own price.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cache

import genai_prices
from genai_prices import types
from genai_prices.data_snapshot import get_snapshot

from .pricing import Price, Tier

VERSION = f"genai-prices {genai_prices.__version__}"
"""The price version of calls that the list prices."""

_DATED = re.compile(r"[-@]20\d\d(-?)(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12]\d|3[01])$")
_LATEST = "-latest"
_RATES = {
    "input_mtok": "prompt",
    "cache_read_mtok": "cached",
    "cache_write_mtok": "cache_write",
    "output_mtok": "completion",
    "output_reasoning_mtok": "reasoning",
}
"""genai-prices' name of a rate → ours."""


@dataclass(frozen=True)
class Listed:
    """A model of the list. `since` is the first day of its price, None if the price never changed."""

    provider: str
    name: str
    price: Price
    since: date | None
    window: int | None


def provider_at(url: str) -> str:
    """Returns the provider whose API is at this address; "" for a self-hosted server or a proxy."""
    for provider in get_snapshot().providers:
        found = re.match(provider.api_pattern, url, re.IGNORECASE)
        # The match must end where a host or a path segment ends.
        if found and (found[0][-1] in "./" or url[found.end() : found.end() + 1] in ("", "/", ":", "?")):
            return provider.id
    return ""


def providers() -> tuple[str, ...]:
    """Returns the providers that an endpoint may name."""
    return tuple(provider.id for provider in get_snapshot().providers)


def listed(provider: str, model: str, *, at: datetime, tier: str = "") -> Listed | None:
    """Returns the price of a model at its provider and at a given time; None if unknown.

    `tier` is the service tier that requests ask for, such as `flex`.
    """
    found = _model(provider, model.strip().lower())
    if found is None:
        return None
    price = _FREE if _is_free(provider, model) else _price_at(found, at, tier)
    return None if price is None else Listed(provider, found.id, price, _since(found, at), found.context_window)


_standard: dict[int, Price | None] = {}
"""The list's prices, which live as long as the process → our `Price`."""


def _price_at(model: types.ModelInfo, at: datetime, tier: str) -> Price | None:
    if tier:
        return _price(model.get_prices(at, {"service_tier": tier}))
    given = model.get_prices(at)
    if id(given) not in _standard:
        _standard[id(given)] = _price(given)
    return _standard[id(given)]


_FREE = Price(prompt=Decimal(0), completion=Decimal(0))


def _is_free(provider: str, model: str) -> bool:
    return provider == "openrouter" and model.strip().lower().endswith(":free")


@cache
def _model(provider: str, name: str) -> types.ModelInfo | None:
    names = _names(provider)
    exact = next((names[spelling] for spelling in _spellings(provider, name) if spelling in names), None)
    if exact is None and _is_free(provider, name):
        return types.ModelInfo(id=name, match=types.ClauseEquals(equals=name), prices=types.ModelPrice())
    return exact


def _spellings(provider: str, name: str) -> Iterator[str]:
    yield name
    owners = (provider, "models") if provider == "google" else (provider,)
    own = next((name.removeprefix(f"{owner}/") for owner in owners if name.startswith(f"{owner}/")), name)
    yield own
    yield _DATED.sub("", own)
    yield own.removesuffix(_LATEST)


@cache
def _names(provider: str) -> Mapping[str, types.ModelInfo]:
    """Returns every name that a provider's list spells out, in lower case. Matched names override ids."""
    found: dict[str, types.ModelInfo] = {}
    models = next((each.models for each in get_snapshot().providers if each.id == provider), [])
    for kind in (types.ClauseEquals, types.ClauseStartsWith):
        for model in models:
            for name in _exact_names(model.match, kind):
                found.setdefault(name.lower(), model)
    for model in models:
        found.setdefault(model.id.lower(), model)
    return found


def _exact_names(match: object, kind: type) -> Iterator[str]:
    if isinstance(match, types.ClauseOr):
        for clause in match.or_:
            yield from _exact_names(clause, kind)
    elif isinstance(match, kind) and isinstance(match, types.ClauseEquals):
        yield match.equals
    elif isinstance(match, kind) and isinstance(match, types.ClauseStartsWith):
        yield match.starts_with


def _since(model: types.ModelInfo, at: datetime) -> date | None:
    """Returns the start of the newest price in effect; None if the price never changed."""
    if isinstance(model.prices, types.ModelPrice):
        return None
    starts = [each.constraint for each in model.prices]
    begun = [each.start_date for each in starts if isinstance(each, types.StartDateConstraint) and each.active(at)]
    return max(begun, default=None)


def _price(given: types.ModelPrice) -> Price | None:
    """Returns the list's price as ours; None if it gives no input or output rate, because such a model is not
    free.
    """
    rates = {ours: rate for theirs, ours in _RATES.items() if (rate := getattr(given, theirs)) is not None}
    if not {"prompt", "completion"} <= rates.keys():
        return None
    starts = sorted(
        {tier.start for rate in rates.values() if isinstance(rate, types.TieredPrices) for tier in rate.tiers}
    )
    per_thousand = getattr(given, "requests_kcount", None)
    return Price(
        **{name: _rate(rate, 0) for name, rate in rates.items()},
        tiers=tuple(
            Tier(above=start, **{name: _rate(rate, start + 1) for name, rate in rates.items()}) for start in starts
        ),
        call=per_thousand / 1000 if isinstance(per_thousand, Decimal) else Decimal(0),
    )


def _rate(rate: Decimal | types.TieredPrices, prompt: int) -> Decimal:
    """Returns the rate of a call with this number of prompt tokens."""
    if isinstance(rate, Decimal):
        return rate
    reached = [tier.price for tier in rate.tiers if prompt > tier.start]
    return reached[-1] if reached else rate.base
