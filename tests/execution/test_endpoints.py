"""The endpoints file: valid settings, and errors for invalid ones."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured

from rlm_runs.engine.cancellation import CancellationToken
from rlm_runs.engine.clients.text_tools import TextToolsClient
from rlm_runs.execution import worker
from rlm_runs.execution.endpoints import find_model, load_endpoints, model_choices
from tests.scripted_server import ScriptedServer, completion

ONE = """
[lab]
title = "Lab"
base_url = "http://127.0.0.1:9/v1"
"""


@pytest.fixture
def write(tmp_path, settings):
    """Writes the file that is used."""

    def written(text):
        path = tmp_path / "endpoints.toml"
        path.write_text(text)
        settings.RLM_ENDPOINTS_FILE = path
        settings.RLM_EXTRA_MODELS = []
        return path

    return written


def said_of(path):
    with pytest.raises(ImproperlyConfigured) as caught:
        load_endpoints(path)
    return str(caught.value)


def test_the_shipped_file_says_how_each_model_is_called():
    assert {choice.calls.tools for choice in model_choices()} == {None}


def test_what_a_model_says_goes_before_what_its_endpoint_says(write):
    write(
        ONE
        + """
tools = "text"
max_tokens_parameter = "max_completion_tokens"
stream = true
extra_body = { provider = { only = ["a"] }, plugins = [] }
request = { service_tier = "flex" }
models = [
  { name = "m1", stream = false },
  { name = "m2", tools = "native", extra_body = { provider = { only = ["b"] } }, request = { user = "u" } },
]
"""
    )
    first, second = (choice.calls for choice in model_choices())
    assert (first.tools, first.max_tokens_parameter) == ("text", "max_completion_tokens")
    assert (first.stream, second.stream) == (False, True)
    assert second.tools == "native"
    assert second.extra_body == {"provider": {"only": ["b"]}, "plugins": []}
    assert second.request == {"service_tier": "flex", "user": "u"}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('models = [{ nme = "m" }]', "lab.models[0].name: field required"),
        ('models = [{ name = "m", windw = 1 }]', "lab.models[0].windw: there is no such setting"),
        ('models = [{ name = "m", window = 0 }]', "lab.models[0].window: input should be greater than or equal"),
        (
            'models = [{ name = "m" }]\nconcurrency = 0',
            "lab.concurrency: input should be greater than or equal to 1",
        ),
        (
            'models = [{ name = "m" }]\nrequests_per_minute = inf',
            "lab.requests_per_minute: input should be a finite",
        ),
        ('models = [{ name = "m" }]\ntools = "xml"', "lab.tools: input should be 'native' or 'text'"),
        ('models = [{ name = "m" }]\nmax_tokens_parameter = "n"', "lab.max_tokens_parameter: input should be"),
        ('models = [{ name = "m" }]\nrequest = { model = "x" }', "lab.request: must not hold model"),
        ('models = [{ name = "m", price = { prompt = 1 } }]', "lab.models[0].price.completion: field required"),
        (
            'models = [{ name = "m", price = { prompt = -1, cached = 0, completion = 0 } }]',
            "lab.models[0].price.prompt: input should be greater than or equal to 0",
        ),
        ('models = [{ name = "m" }, { name = "m" }]', "model 'm' is served more than once"),
        ("models = 3\n[x]\n", "lab.models: "),
        ("models = []\n[x", "RLM_ENDPOINTS_FILE"),
        ('models = []\nkey_variable = "not a name"', "lab.key_variable: string should match"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(write, line, said):
    assert said in said_of(write(ONE + line))


@pytest.mark.parametrize(
    "address", ["ftp://x/v1", "127.0.0.1:9/v1", "https://u:p@host/v1", "https://host/v1?key=abc", ""]
)
def test_an_address_is_an_address(write, address):
    text = f'[lab]\ntitle = "Lab"\nbase_url = "{address}"\nmodels = []'
    assert "lab.base_url: must" in said_of(write(text))


SECRET = "q8Zr5Tn2Wk7Lm4Xp9Yv3"


@pytest.mark.parametrize(
    ("line", "place"),
    [
        (f'api_key = "{SECRET}"', "lab.api_key"),
        (f'key_variable = "sk-{SECRET}"', "lab.key_variable"),
        (f'extra_body = {{ headers = {{ Authorization = "{SECRET}" }} }}', "lab.extra_body.headers.Authorization"),
        (f'request = {{ metadata = {{ x = ["Bearer {SECRET}"] }} }}', "lab.request.metadata.x[0]"),
        (f'title = "gsk_{SECRET}"', "lab.title"),
    ],
)
def test_what_looks_like_a_key_is_refused_and_not_repeated(write, line, place):
    base = ONE.replace('title = "Lab"\n', "") if line.startswith("title") else ONE
    said = said_of(write(f"{base}{line}\nmodels = []"))
    assert f"{place}: looks like a key" in said
    assert SECRET not in said


def test_a_secret_under_an_unknown_name_is_not_repeated_either(write):
    said = said_of(write(f'{ONE}credential = "{SECRET}"\nmodels = []'))
    assert "lab.credential: there is no such setting" in said
    assert SECRET not in said


def test_names_of_models_are_no_keys(write):
    names = ["risk-analysis-model-2025-01-01", "hf/some-model-7b-instruct-2025", "gpt-4.1-mini-2025-04-14"]
    models = ", ".join(f'{{ name = "{name}" }}' for name in names)
    path = write(f"{ONE}models = [{models}]")
    assert [model.name for model in load_endpoints(path)[0].models] == names


@pytest.mark.django_db(transaction=True)
def test_a_client_sends_what_its_model_wants(write):
    """Its limit is granted by the database."""
    with ScriptedServer(lambda _: completion("4")) as server:
        write(
            ONE.replace("http://127.0.0.1:9/v1", server.url)
            + """
max_tokens_parameter = "max_completion_tokens"
extra_body = { provider = { only = ["a"] } }
request = { temperature = 0.1, service_tier = "flex" }
concurrency = 2
models = [{ name = "m", tools = "text" }]
"""
        )
        client = worker.client_of(find_model("m"))
        assert isinstance(client, TextToolsClient)
        assert worker.client_of(find_model("m")) is client
        sampling = {"temperature": 0.9, "max_tokens": 50, "extra_body": {"seed": 3}}
        client.complete(
            model="m", messages=[{"role": "user", "content": "?"}], sampling=sampling, control=CancellationToken()
        )
        assert {key: value for key, value in server.requests[0].items() if key != "messages"} == {
            "model": "m",
            "temperature": 0.9,
            "max_completion_tokens": 50,
            "service_tier": "flex",
            "provider": {"only": ["a"]},
            "seed": 3,
        }
        client._client.close()
