"""Which price a model has here: the endpoint decides whose."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.core.exceptions import ImproperlyConfigured

from rlm_runs.engine.events import Usage
from rlm_runs.execution.endpoints import find_model, load_endpoints
from rlm_runs.execution.listed_prices import VERSION
from rlm_runs.execution.prices import price_of, prices, provider_of
from rlm_runs.models import Turn

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
MILLION = Usage(prompt=1_000_000, cached=0, completion=1_000_000)


@pytest.fixture
def write(tmp_path, settings):
    """Writes the endpoints file that is used: `models` of an endpoint `lab` at `url`."""

    def written(models, *, url="http://127.0.0.1:8000/v1", more=""):
        path = tmp_path / "endpoints.toml"
        path.write_text(f'[lab]\ntitle = "Lab"\nbase_url = "{url}"\n{more}\nmodels = [{models}]')
        settings.RLM_ENDPOINTS_FILE = path
        settings.RLM_EXTRA_MODELS = []
        return path

    return written


def test_a_local_server_is_not_priced_as_the_provider_whose_names_it_serves(write):
    write('{ name = "gpt-4o" }, { name = "openai/gpt-5-mini" }, { name = "claude-3-5-sonnet" }')
    for name in ("gpt-4o", "openai/gpt-5-mini", "claude-3-5-sonnet"):
        assert prices().cost(name, MILLION, NOW) is None


def test_the_same_names_at_the_provider_have_its_price(write):
    write('{ name = "gpt-4o" }', url="https://api.openai.com/v1")
    found = prices().cost("gpt-4o", MILLION, NOW)
    assert (found.dollars, found.version) == (Decimal("12.5"), VERSION)
    assert len(found.version) <= Turn._meta.get_field("price_version").max_length


def test_the_address_that_counts_is_the_one_that_requests_go_to(write, monkeypatch):
    write('{ name = "gpt-4o" }', url="https://api.openai.com/v1", more='base_url_variable = "LAB_URL"')
    monkeypatch.setenv("LAB_URL", "http://127.0.0.1:8000/v1")
    assert prices().cost("gpt-4o", MILLION, NOW) is None


def test_an_endpoint_may_name_its_provider(write):
    write('{ name = "gpt-4o" }', url="https://proxy.lab.example/v1", more='provider = "openai"')
    assert provider_of(find_model("gpt-4o")) == "openai"
    assert prices().cost("gpt-4o", MILLION, NOW).dollars == Decimal("12.5")


def test_an_endpoint_may_have_no_provider(write):
    write('{ name = "gpt-4o" }', url="https://api.openai.com/v1", more='provider = "none"')
    assert prices().cost("gpt-4o", MILLION, NOW) is None


def test_a_provider_that_is_not_known_is_refused(write):
    path = write('{ name = "gpt-4o" }', more='provider = "opanai"')
    with pytest.raises(ImproperlyConfigured, match=r"lab.provider: must be none or one of .*openai"):
        load_endpoints(path)


def test_a_price_of_the_file_goes_before_the_lists_and_has_a_version_of_its_own(write):
    price = 'price = { prompt = "1", cached = "0.5", completion = "2" }'
    other = 'price = { prompt = "1", cached = "0.5", completion = "3" }'
    models = f'{{ name = "m", {price} }}, {{ name = "gpt-5-mini", {price} }}, {{ name = "n", {other} }}'
    write(f'{models}, {{ name = "gpt-5" }}', url="https://api.openai.com/v1")
    found = {name: prices().cost(name, MILLION, NOW) for name in ("m", "gpt-5-mini", "n", "gpt-5")}
    assert found["m"] == found["gpt-5-mini"]
    assert (found["m"].dollars, found["n"].dollars) == (Decimal(3), Decimal(4))
    assert found["m"].version.startswith("endpoints file ")
    assert found["m"].version != found["n"].version
    assert (found["gpt-5"].dollars, found["gpt-5"].version) == (Decimal("11.25"), VERSION)


def test_a_price_of_the_file_may_have_tiers(write):
    tiers = 'tiers = [{ above = 200000, prompt = "2", completion = "4" }]'
    write(f'{{ name = "m", price = {{ prompt = "1", completion = "2", {tiers} }} }}')
    assert prices().cost("m", Usage(prompt=300_000, completion=0), NOW).dollars == Decimal("0.6")


def test_the_service_tier_that_requests_ask_for_is_priced(write):
    models = '{ name = "gpt-5-mini", request = { service_tier = "flex" } }, { name = "gpt-5" }'
    write(models, url="https://api.openai.com/v1")
    assert prices().cost("gpt-5-mini", MILLION, NOW).dollars == Decimal("1.125")
    assert prices().cost("gpt-5", MILLION, NOW).dollars == Decimal("11.25")


def test_the_simulated_model_has_a_price_that_nobody_pays():
    found = price_of(find_model("demo-model"), at=NOW)
    assert found.version == "simulated 2025-12"
    assert found.price.cost(MILLION) == Decimal("2.25")


def test_a_model_that_is_nowhere_has_no_price(write):
    write('{ name = "m" }')
    assert prices().cost("other", MILLION, NOW) is None
    assert prices().dollars("m", MILLION) is None


def test_the_shipped_models_are_priced():
    for name in ("gpt-5", "gpt-5-mini", "gpt-5-nano", "gpt-4.1", "gpt-4.1-mini", "gpt-4.1-nano"):
        assert price_of(find_model(name), at=NOW).is_listed
