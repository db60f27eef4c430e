"""Prices of genai-prices: the right model of the right provider, or none."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import genai_prices
import pytest
from genai_prices.data_snapshot import get_snapshot

from rlm_runs.engine.events import Usage
from rlm_runs.execution.listed_prices import listed, provider_at, providers

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
MILLION = Usage(prompt=1_000_000, completion=1_000_000)


def name_of(provider, model):
    found = listed(provider, model, at=NOW)
    return found.name if found else None


@pytest.mark.parametrize(
    ("provider", "written", "meant"),
    [
        ("openai", "gpt-5", "gpt-5"),
        ("openai", "gpt-5-mini", "gpt-5-mini"),
        ("openai", "GPT-5-Mini", "gpt-5-mini"),
        ("openai", "gpt-5-mini-2025-08-07", "gpt-5-mini"),
        ("openai", "gpt-5-nano-2025-08-07", "gpt-5-nano"),
        ("openai", "gpt-5.2-20251211", "gpt-5.2"),
        ("openai", "openai/gpt-5-mini", "gpt-5-mini"),
        ("openai", "gpt-4o-2024-05-13", "gpt-4o-2024-05-13"),  # has a price of its own
        ("openai", "gpt-4o-2024-11-20", "gpt-4o"),
        ("openrouter", "openai/gpt-5-mini", "openai/gpt-5-mini"),
        ("openrouter", "openai/gpt-5-mini-2025-08-07", "openai/gpt-5-mini"),
        ("anthropic", "claude-3-5-sonnet", "claude-3-5-sonnet"),
        ("anthropic", "claude-3-5-sonnet-20241022", "claude-3-5-sonnet"),
        ("anthropic", "claude-3-5-sonnet-latest", "claude-3-5-sonnet"),
        ("anthropic", "claude-sonnet-4-5@20250929", "claude-sonnet-4-5"),
        ("google", "models/gemini-2.5-pro", "gemini-2.5-pro"),
        ("fireworks", "accounts/fireworks/models/deepseek-v3p2", "deepseek-v3p2"),
    ],
)
def test_a_name_is_found_as_servers_write_it(provider, written, meant):
    assert name_of(provider, written) == meant


@pytest.mark.parametrize(
    ("provider", "written"),
    [
        ("openai", "gpt-5-mini-finetuned"),
        ("openai", "gpt-5-micro"),
        ("openai", "gpt-5-nano-distilled"),  # genai-prices itself takes it for gpt-5-nano
        ("openai", "gpt-5-mini-2025-13-45"),  # no date
        ("openai", "gpt-5-2025-08-07-mini"),
        ("openai", "my-gpt-4o"),
        ("openai", "anthropic/gpt-5-mini"),
        ("openai", "gpt"),
        ("openai", ""),
        ("anthropic", "claude-3-5"),
        ("anthropic", "claude"),
        ("anthropic", "claude-opus-4-9"),
        ("anthropic", "claude-3-5-sonnet-mini"),  # genai-prices itself takes it for claude-3-5-sonnet
        ("deepseek", "deepseek-r1-distill-qwen-7b"),  # genai-prices itself takes it for deepseek-reasoner
        ("openrouter", "gpt-5-mini"),
        ("openrouter", "openai/gpt-5-mini:nitro"),
        ("openrouter", "openai/gpt-5-mini:floor"),
        ("groq", "gpt-4o"),
        ("", "gpt-4o"),
        ("nobody", "gpt-4o"),
    ],
)
def test_a_near_miss_has_no_price(provider, written):
    assert name_of(provider, written) is None


def test_no_name_of_one_model_finds_the_price_of_another():
    """For each listed model: its own name finds it, and a name around it finds nothing that is not spelled out."""
    for provider in get_snapshot().providers:
        spelled = {model.id: str(model.match).lower() for model in provider.models}
        for model in provider.models:
            if model.id.endswith(":free"):
                continue
            found = name_of(provider.id, model.id)
            assert found in (None, model.id) or model.id.lower() in spelled[found]
            for other in (f"{model.id}-x", f"{model.id}x", f"x-{model.id}"):
                found = name_of(provider.id, other)
                assert found in (None, other) or f"'{other.lower()}'" in spelled[found]


def test_free_variants_of_openrouter_are_free_and_the_paid_model_is_not():
    free = listed("openrouter", "deepseek/deepseek-r1:free", at=NOW)
    assert free.price.cost(MILLION) == 0
    assert listed("openrouter", "newest/model:free", at=NOW).price.cost(MILLION) == 0
    assert listed("openrouter", "openai/gpt-5-mini", at=NOW).price.cost(MILLION) == Decimal("2.25")
    assert listed("openai", "gpt-5-mini:free", at=NOW) is None


def test_a_model_without_a_price_of_its_tokens_is_not_free():
    """The list has models without any rate, and embeddings without one for completions."""
    assert listed("openai", "text-embedding-3-small", at=NOW) is None
    for provider in get_snapshot().providers:
        for model in provider.models:
            found = listed(provider.id, model.id, at=NOW)
            if found and found.price.cost(MILLION) == 0 and not model.id.endswith(":free"):
                prices = model.get_prices(NOW)
                assert prices.input_mtok is not None
                assert prices.output_mtok is not None


@pytest.mark.parametrize(
    ("url", "provider"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://openrouter.ai/api/v1", "openrouter"),
        ("https://api.together.xyz/v1", "together"),
        ("https://api.fireworks.ai/inference/v1", "fireworks"),
        ("https://generativelanguage.googleapis.com/v1beta/openai/", "google"),
        ("https://api.anthropic.com/v1/", "anthropic"),
        ("https://api.deepseek.com", "deepseek"),
        ("https://api.moonshot.ai/v1", "moonshotai"),
        ("https://lab.openai.azure.com/openai/v1", "azure"),
        ("http://127.0.0.1:8000/v1", ""),
        ("http://localhost:11434/v1", ""),
        ("https://api.openai.com.lab.example/v1", ""),
        ("https://lab.example/https://api.openai.com/v1", ""),
        ("https://api.openai.company/v1", ""),
        ("http://gpt-4o.lab.example/v1", ""),
    ],
)
def test_a_provider_is_known_by_its_address(url, provider):
    assert provider_at(url) == provider
    assert not provider or provider in providers()


def test_prices_depend_on_the_length_of_the_prompt():
    price = listed("google", "gemini-2.5-pro", at=NOW).price
    assert price.cost(Usage(prompt=200_000, completion=1_000_000)) == Decimal("10.25")
    assert price.cost(Usage(prompt=200_001, completion=0)) == Decimal("0.5000025")


def test_prices_depend_on_the_time_of_day():
    assert listed("deepseek", "deepseek-chat", at=datetime(2025, 6, 1, 12, tzinfo=UTC)).price.prompt == Decimal(
        "0.27"
    )
    assert listed("deepseek", "deepseek-chat", at=datetime(2025, 6, 1, 20, tzinfo=UTC)).price.prompt == Decimal(
        "0.135"
    )


def test_prices_depend_on_the_day():
    before = listed("anthropic", "claude-opus-4-6", at=datetime(2026, 3, 12, tzinfo=UTC))
    after = listed("anthropic", "claude-opus-4-6", at=datetime(2026, 3, 13, tzinfo=UTC))
    long = Usage(prompt=300_000, completion=0)
    assert (before.price.cost(long), before.since) == (Decimal(3), None)
    assert (after.price.cost(long), after.since) == (Decimal("1.5"), date(2026, 3, 13))


def test_a_service_tier_has_prices_of_its_own():
    standard = listed("openai", "gpt-5-mini", at=NOW).price
    flex = listed("openai", "gpt-5-mini", at=NOW, tier="flex").price
    assert (standard.prompt, flex.prompt) == (Decimal("0.25"), Decimal("0.125"))


def test_costs_agree_with_genai_prices_own_arithmetic():
    """For every listed model with prices of text alone: the same dollars, by tiers and caches."""
    compared = 0
    for provider in get_snapshot().providers:
        for model in provider.models:
            found = listed(provider.id, model.id, at=NOW)
            if found is None or found.name != model.id or model.id.endswith(":free"):
                continue
            for prompt in (10_000, 300_000):
                ours = found.price.cost(
                    Usage(prompt=prompt, cached=4_000, cache_write=1_000, completion=2_000, reasoning=500)
                )
                theirs = model.calc_price(
                    genai_prices.Usage(
                        input_tokens=prompt,
                        cache_read_tokens=4_000,
                        cache_write_tokens=1_000,
                        output_tokens=2_000,
                        output_reasoning_tokens=500,
                    ),
                    provider,
                    genai_request_timestamp=NOW,
                ).total_price
                assert abs(ours - theirs) < Decimal("1e-10"), (provider.id, model.id)
                compared += 1
    assert compared > 2000
