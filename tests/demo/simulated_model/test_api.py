"""The server with an OpenAI client: completions, usage, models and errors."""

import http.client
import json
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import openai
import pytest

from .harness import Response, request, tool

HELLO = [{"role": "user", "content": "What is 3 apples plus 4 apples?"}]


def ask(client, messages=HELLO, **extra):
    return client.chat.completions.create(model="demo-model", messages=messages, **extra)


def post(client, body, **headers) -> Response:
    return request(str(client.base_url), "POST", "/v1/chat/completions", body=body, headers=headers)


def test_a_completion_has_the_api_s_shape(client):
    made = ask(client)
    assert made.object == "chat.completion"
    assert made.id.startswith("chatcmpl-")
    assert made.model == "demo-model"
    assert made.choices[0].finish_reason == "stop"
    assert made.choices[0].message.role == "assistant"
    assert "simulated model" in made.choices[0].message.content


def test_usage_follows_the_stated_rule(client):
    made = ask(client)
    message, usage = made.choices[0].message, made.usage
    reasoning = -(-len(message.reasoning_content) // 4)
    assert usage.prompt_tokens == -(-len(HELLO[0]["content"]) // 4) + 4
    assert usage.completion_tokens_details.reasoning_tokens == reasoning
    assert usage.completion_tokens == reasoning + -(-len(message.content) // 4)
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.prompt_tokens_details.cached_tokens == 0


def test_a_tool_call(client):
    made = ask(client, tools=[tool("python")])
    assert made.choices[0].finish_reason == "tool_calls"
    (call,) = made.choices[0].message.tool_calls
    assert call.type == "function"
    assert call.function.name == "python"
    assert "3" in json.loads(call.function.arguments)["code"]


def test_no_tool_is_called_where_the_request_forbids_it(client):
    made = ask(client, tools=[tool("python")], tool_choice="none")
    assert made.choices[0].message.tool_calls is None
    assert made.choices[0].message.content


def test_a_later_turn_reports_what_was_sent_before_as_cached(client):
    long = [{"role": "user", "content": "word " * 2000}]
    later = [*long, {"role": "assistant", "content": "Hm."}, {"role": "user", "content": "Go on."}]
    assert ask(client, long).usage.prompt_tokens_details.cached_tokens == 0
    assert ask(client, later).usage.prompt_tokens_details.cached_tokens == 2504 // 128 * 128


def test_a_token_limit_cuts_the_completion(client):
    made = ask(client, max_completion_tokens=25)
    assert made.choices[0].finish_reason == "length"
    assert made.usage.completion_tokens == 25


@pytest.mark.parametrize("tools", [[], [tool("python")]])
def test_a_streamed_completion_is_the_same(client, tools):
    whole = ask(client, tools=tools)
    stream = ask(client, tools=tools, stream=True, stream_options={"include_usage": True})
    *chunks, last = stream
    assert len(chunks) > 3
    assert (last.choices, last.usage) == ([], whole.usage)
    assert {chunk.id for chunk in chunks} == {whole.id}
    message = whole.choices[0].message
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert "".join(delta.content or "" for delta in deltas) == (message.content or "")
    reasoning = "".join(getattr(delta, "reasoning_content", "") for delta in deltas)
    assert reasoning == getattr(message, "reasoning_content", "")
    functions = [call.function for delta in deltas for call in delta.tool_calls or []]
    arguments = [call.function.arguments for call in message.tool_calls or []]
    assert "".join(function.arguments for function in functions) == "".join(arguments)
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason


def test_a_stream_arrives_piece_by_piece(serve):
    client = serve(latency=0.4)
    moments = [time.monotonic() for _ in ask(client, stream=True)]
    assert moments[-1] - moments[0] > 0.1


def test_the_models(client):
    (model,) = client.models.list().data
    assert (model.id, model.owned_by) == ("demo-model", "simulated")
    assert client.models.retrieve("demo-model").id == "demo-model"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-5-mini")


def test_healthz_says_that_it_is_simulated(client):
    said = request(str(client.base_url), "GET", "/healthz").json
    assert said == {
        "status": "ok",
        "model": "demo-model",
        "simulated": True,
    }


def test_the_same_request_gets_the_same_answer_in_any_order_and_from_any_server(serve):
    one, other = serve(seed=3), serve(seed=3)
    requests = [[{"role": "user", "content": f"What is {n} times {n + 1}?"}] for n in range(10)]

    def answers(client, order):
        made = {n: ask(client, requests[n]) for n in order}
        return [made[n].model_dump(exclude={"created"}) for n in range(10)]

    assert answers(one, range(10)) == answers(other, reversed(range(10))) == answers(one, range(10))


def test_many_requests_at_once(client):
    with ThreadPoolExecutor(32) as pool:
        made = list(pool.map(lambda _: ask(client), range(200)))
    assert len({one.choices[0].message.content for one in made}) == 1


def test_a_connection_is_kept_for_several_requests_good_and_bad(client):
    address = urlsplit(str(client.base_url))
    connection = http.client.HTTPConnection(address.hostname, address.port)
    try:
        connection.connect()
        socket = connection.sock
        for body in ('{"model": "demo-model"}', json.dumps({"model": "demo-model", "messages": HELLO})) * 3:
            connection.request("POST", "/v1/chat/completions", body)
            connection.getresponse().read()
            assert connection.sock is socket
    finally:
        connection.close()


def test_an_unknown_model(client):
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="gpt-9", messages=HELLO)
    assert caught.value.code == "model_not_found"
    assert "`gpt-9` does not exist" in caught.value.message


def test_a_prompt_longer_than_the_window(serve):
    client = serve(window=1000)
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, [{"role": "user", "content": "x" * 4100}])
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "messages")
    assert caught.value.body["message"] == (
        "This model's maximum context length is 1000 tokens. However, your messages resulted in 1029 tokens. "
        "Please reduce the length of the messages."
    )
    assert ask(client, [{"role": "user", "content": "x" * 3900}]).usage.prompt_tokens == 979


def test_a_wrong_key_where_one_was_configured(serve):
    client = serve(api_key="right")
    for attempt in (lambda: ask(client), lambda: client.models.list()):
        with pytest.raises(openai.AuthenticationError) as caught:
            attempt()
        assert caught.value.code == "invalid_api_key"
    assert ask(client.with_options(api_key="right"))


def test_a_rate_limit_says_how_long_to_wait(serve):
    client = serve(fail_429=1, retry_after=2.5)
    with pytest.raises(openai.RateLimitError) as caught:
        ask(client)
    assert caught.value.code == "rate_limit_exceeded"
    assert caught.value.response.headers["Retry-After"] == "2.5"


def test_a_server_error(serve):
    with pytest.raises(openai.InternalServerError) as caught:
        ask(serve(fail_500=1))
    assert caught.value.status_code == 500
    assert caught.value.body["type"] == "server_error"


def test_injected_failures_are_seeded_and_a_retry_may_succeed(serve):
    def outcomes(client):
        statuses = []
        for n in range(60):
            for _ in range(3):
                try:
                    ask(client, [{"role": "user", "content": f"question {n}"}])
                    statuses.append(200)
                except openai.APIStatusError as error:
                    statuses.append(error.status_code)
        return statuses

    first, second = outcomes(serve(fail_429=0.2, fail_500=0.1)), outcomes(serve(fail_429=0.2, fail_500=0.1))
    assert first == second
    assert first != outcomes(serve(fail_429=0.2, fail_500=0.1, seed=8))
    assert 0.1 < first.count(429) / len(first) < 0.3
    assert 0.03 < first.count(500) / len(first) < 0.2
    tries = [first[i : i + 3] for i in range(0, len(first), 3)]
    assert any(one[0] != 200 and 200 in one for one in tries)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ("{", None),
        ("[]", None),
        ("", None),
        ("[" * 100_000, None),
        ({"messages": HELLO}, "model"),
        ({"model": "demo-model"}, "messages"),
        ({"model": "demo-model", "messages": []}, "messages"),
        ({"model": "demo-model", "messages": "hello"}, "messages"),
        ({"model": "demo-model", "messages": [1]}, "messages"),
        ({"model": "demo-model", "messages": [{"role": "wizard", "content": ""}]}, "messages[0]"),
        ({"model": "demo-model", "messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        (
            {"model": "demo-model", "messages": [{"role": "assistant", "tool_calls": [{"function": 1}]}]},
            "messages[0].tool_calls",
        ),
        ({"model": "demo-model", "messages": HELLO, "tools": 3}, "tools"),
        ({"model": "demo-model", "messages": HELLO, "stream": "yes"}, "stream"),
        ({"model": "demo-model", "messages": HELLO, "stream_options": {"include_usage": True}}, "stream_options"),
        ({"model": "demo-model", "messages": HELLO, "n": 2}, "n"),
        ({"model": "demo-model", "messages": HELLO, "max_tokens": -1}, "max_tokens"),
    ],
)
def test_a_malformed_request(client, body, param):
    response = post(client, body if isinstance(body, str) else json.dumps(body))
    assert response.status == 400
    error = response.json["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert error["message"]


def test_an_unknown_url(client):
    for method in ("GET", "POST"):
        response = request(str(client.base_url), method, "/v1/embeddings", body="{}")
        assert response.status == 404
        assert response.json["error"]["code"] == "unknown_url"


@pytest.mark.parametrize("length", ["", "-1", "abc", "9999999999999"])
def test_a_body_of_no_or_a_monstrous_length(client, length):
    response = post(client, "{}", **{"Content-Length": length})
    assert response.status == 400
    assert "Content-Length" in response.json["error"]["message"]


def test_latency_and_jitter(serve):
    client = serve(latency=0.15, jitter=0.1)
    began = time.monotonic()
    ask(client)
    assert time.monotonic() - began >= 0.15
