"""The client over real HTTP: what is retried, what is not, and what is said of failures."""

from __future__ import annotations

import threading
from decimal import Decimal

import pytest

from rlm_runs.engine.cancellation import CancellationToken
from rlm_runs.engine.clients.chat import ChatClient, RetryPolicy
from rlm_runs.engine.errors import BadCompletion, ModelFailure, PromptTooLong, Stopped
from tests.scripted_server import Reply, ScriptedServer, completion, error_body

FAST = RetryPolicy(tries=3, first_wait=0.001, longest_retry_after=0.01)
QUESTION = [{"role": "user", "content": "2 + 2?"}]


def ask(server, *, retry=FAST, control=None, **more):
    client = ChatClient(base_url=server.url, api_key="sk-test", retry=retry, timeout=10)
    try:
        return client.complete(
            model="m",
            messages=QUESTION,
            sampling={"temperature": 0.5},
            control=control or CancellationToken(),
            **more,
        )
    finally:
        client.close()


def test_a_completion_comes_back_with_its_usage():
    details = {"prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens_details": {"reasoning_tokens": 2}}
    with ScriptedServer(lambda _: completion("4", **details)) as server:
        answer = ask(server)
    assert answer.content == "4"
    usage = answer.usage
    assert (usage.prompt, usage.cached, usage.completion, usage.reasoning) == (10, 4, 5, 2)
    assert usage.raw["prompt_tokens_details"] == {"cached_tokens": 4}
    assert server.requests == [{"model": "m", "messages": QUESTION, "temperature": 0.5}]
    assert server.authorizations == ["Bearer sk-test"]


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503])
def test_passing_failures_are_retried_and_counted(status):
    replies = [Reply(status, error_body("busy"), {"Retry-After": "0"}), completion("4")]
    with ScriptedServer(lambda _: replies.pop(0)) as server:
        answer = ask(server)
    assert (answer.content, answer.retries) == ("4", 1)
    assert 0 < answer.retry_seconds <= answer.seconds


def test_a_failure_that_lasts_is_given_up_with_the_apis_message():
    with ScriptedServer(lambda _: Reply(429, error_body("slow down, please"))) as server:
        with pytest.raises(ModelFailure, match=r"HTTP 429: slow down, please \(tried 3 times\)") as caught:
            ask(server)
        assert len(server.requests) == 3
    assert caught.value.tries.retries == 2
    assert caught.value.cost == Decimal(0)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_a_refused_request_is_not_tried_again(status):
    with ScriptedServer(lambda _: Reply(status, error_body("no such thing"))) as server:
        with pytest.raises(ModelFailure, match=f"HTTP {status}: no such thing") as caught:
            ask(server)
        assert len(server.requests) == 1
    assert caught.value.stop_reason == "model_error"


def test_no_money_left_is_not_waited_for():
    body = error_body("You exceeded your current quota", code="insufficient_quota")
    with ScriptedServer(lambda _: Reply(429, body)) as server:
        with pytest.raises(ModelFailure, match="quota"):
            ask(server)
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    "body",
    [
        error_body("This model's maximum context length is 8 tokens.", code="context_length_exceeded"),
        error_body("prompt is too long: 250000 tokens > 200000 maximum"),
        {"object": "error", "message": "This model's maximum context length is 8 tokens.", "code": 400},
        {"detail": "the request exceeds the context window of 8 tokens"},
    ],
)
def test_a_prompt_over_the_window_is_its_own_failure(body):
    with (
        ScriptedServer(lambda _: Reply(400, body)) as server,
        pytest.raises(PromptTooLong) as caught,
    ):
        ask(server)
    assert caught.value.stop_reason == "prompt_too_long"


@pytest.mark.parametrize(
    "garbage",
    [
        "<html>gateway</html>",
        "",
        "[]",
        "null",
        '"text"',
        "{}",
        '{"choices": []}',
        '{"choices": [1]}',
        '{"choices": [{}]}',
        '{"choices": [{"message": {"tool_calls": [{"id": 1}]}}]}',
        '{"error": {"message": "upstream is gone"}}',
    ],
)
def test_an_answer_that_is_no_completion_says_what_it_is(garbage):
    with ScriptedServer(lambda _: Reply(200, garbage)) as server, pytest.raises(BadCompletion) as caught:
        ask(server)
    assert caught.value.cost is None  # it may be billed


@pytest.mark.parametrize(
    "message",
    [
        {"content": None},
        {"role": "assistant"},
        {"content": [{"type": "text", "text": ""}]},
        {"content": "", "tool_calls": None},
    ],
)
def test_an_empty_message_is_an_empty_completion(message):
    with ScriptedServer(lambda _: {"choices": [{"message": message}]}) as server:
        answer = ask(server)
    assert (answer.content, answer.tool_calls, answer.usage.prompt) == ("", (), None)


def test_token_counts_that_cannot_be_are_not_known():
    made_up = {"prompt_tokens": 10**30, "completion_tokens": -5}
    with ScriptedServer(lambda _: completion("4", **made_up, prompt_tokens_details=[1])) as server:
        usage = ask(server).usage
    assert (usage.prompt, usage.completion, usage.cached) == (None, None, None)
    assert usage.raw["prompt_tokens"] == 10**30


def test_an_endpoint_that_is_down_is_named():
    with ScriptedServer(lambda _: completion()) as server:
        url = server.url
    client = ChatClient(base_url=url, api_key="", retry=FAST)
    with pytest.raises(ModelFailure, match="cannot be reached"):
        client.complete(model="m", messages=QUESTION, sampling={}, control=CancellationToken())
    client.close()


def test_stopping_ends_the_wait_for_a_retry():
    control = CancellationToken()
    patient = RetryPolicy(tries=2, longest_retry_after=600)
    with ScriptedServer(lambda _: Reply(429, error_body("later"), {"Retry-After": "600"})) as server:
        timer = threading.Timer(0.3, control.stop, args=["cancelled"])
        timer.start()
        with pytest.raises(Stopped):
            ask(server, retry=patient, control=control)
        timer.join()
    assert control.reason == "cancelled"


def test_tool_calls_keep_the_models_own_json():
    with ScriptedServer(lambda _: completion(calls=[("f", '{"x":  1}'), ("g", "{broken")])) as server:
        answer = ask(server, tools=[{"type": "function", "function": {"name": "f"}}])
    assert [(call.name, call.arguments) for call in answer.tool_calls] == [("f", '{"x":  1}'), ("g", "{broken")]
