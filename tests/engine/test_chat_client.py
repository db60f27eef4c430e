"""The client over real HTTP: retries, final failures, and their messages."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from decimal import Decimal

import pytest

from rlm_runs.engine.cancellation import CancellationToken
from rlm_runs.engine.clients.chat import ChatClient, Reading, RetryPolicy
from rlm_runs.engine.clients.message_log import MessageLog
from rlm_runs.engine.errors import BadCompletion, CallAborted, ModelFailure, PromptTooLong, Stopped
from tests.scripted_server import Held, Reply, ScriptedServer, completion, error_body

FAST = RetryPolicy(tries=3, first_wait=0.001, longest_retry_after=0.01)
QUESTION = [{"role": "user", "content": "2 + 2?"}]


def wait_until(happened, *, seconds):
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def ask(server, *, retry=FAST, control=None, timeout=10, **more):
    client = ChatClient(base_url=server.url, api_key="sk-test", retry=retry, timeout=timeout)
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
    with ScriptedServer(lambda _: Reply(200, garbage)) as server:
        with pytest.raises(BadCompletion) as caught:
            ask(server)
        assert len(server.requests) == 3
    assert caught.value.cost is None  # it may be billed
    assert [failed.status for failed in caught.value.tries.failed] == [200, 200, 200]


@pytest.mark.parametrize("garbage", ["<html>gateway</html>", "", '{"choices": null}', '{"error": {"code": 502}}'])
def test_an_answer_that_is_no_completion_is_asked_for_again(garbage):
    replies = [Reply(200, garbage), completion("4")]
    with ScriptedServer(lambda _: replies.pop(0)) as server:
        answer = ask(server)
    assert (answer.content, answer.retries) == ("4", 1)


def test_an_error_inside_200_is_as_its_code():
    inside = {"error": {"message": "Provider returned error", "code": 429, "metadata": {"raw": "slow down"}}}
    with ScriptedServer(lambda _: inside) as server:
        with pytest.raises(ModelFailure, match="HTTP 429 inside 200: Provider returned error") as caught:
            ask(server)
        assert len(server.requests) == 3
    assert (caught.value.stop_reason, caught.value.cost) == ("model_error", Decimal(0))
    with ScriptedServer(lambda _: {"error": {"message": "no such model", "code": 404}}) as server:
        with pytest.raises(ModelFailure, match="no such model"):
            ask(server)
        assert len(server.requests) == 1


def test_each_failed_try_is_kept():
    replies = [
        Reply(503, error_body("warming up"), {"Retry-After": "0"}),
        b"",
        Reply(200, "<html>"),
        completion("4"),
    ]
    with ScriptedServer(lambda _: replies.pop(0)) as server:
        answer = ask(server, retry=RetryPolicy(tries=5, first_wait=0.001, longest_retry_after=0.01))
    tries = answer.failed_tries
    assert [failed.status for failed in tries] == [503, None, 200]
    assert "warming up" in tries[0].message
    assert "broke" in tries[1].message
    assert "a page" in tries[2].message
    assert all(failed.seconds > 0 for failed in tries)
    assert tries[0].at < tries[1].at < tries[2].at
    assert answer.retries == 3


def test_a_refusal_of_a_prompt_over_the_window_is_too_long_whatever_it_says():
    long = [{"role": "user", "content": "word " * 2000}]
    with ScriptedServer(lambda _: Reply(400, error_body("Bad Request"))) as server:
        for window, kind in ((1000, PromptTooLong), (4000, ModelFailure), (None, ModelFailure)):
            client = ChatClient(base_url=server.url, api_key="", retry=FAST, reading=Reading(window=window))
            with pytest.raises(ModelFailure) as caught:
                client.complete(model="m", messages=long, sampling={}, control=CancellationToken())
            client.close()
            assert type(caught.value) is kind


def test_a_prompt_of_which_the_server_read_a_part_is_marked():
    long = [{"role": "user", "content": "The quick brown fox jumps over the lazy dog. " * 1000}]
    with ScriptedServer(lambda _: completion("4", prompt_tokens=2048)) as server:
        client = ChatClient(base_url=server.url, api_key="", retry=FAST)
        usage = client.complete(model="m", messages=long, sampling={}, control=CancellationToken()).usage
        client.close()
    assert (usage.prompt, usage.sent, usage.estimated) == (2048, 10_005, False)


@pytest.mark.parametrize(("tags", "content"), [("auto", "4"), ("off", "<think>2 + 2</think>4")])
def test_think_tags_are_read_as_the_setting_says(tags, content):
    with ScriptedServer(lambda _: completion("<think>2 + 2</think>4")) as server:
        client = ChatClient(base_url=server.url, api_key="", retry=FAST, reading=Reading(think_tags=tags))
        answer = client.complete(model="m", messages=QUESTION, sampling={}, control=CancellationToken())
        client.close()
    assert answer.content == content


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
    assert (answer.content, answer.tool_calls, answer.usage.raw) == ("", (), {})


def test_token_counts_that_cannot_be_are_estimated():
    made_up = {"prompt_tokens": 10**30, "completion_tokens": -5}
    with ScriptedServer(lambda _: completion("4", **made_up, prompt_tokens_details=[1])) as server:
        usage = ask(server).usage
    assert (usage.prompt, usage.completion, usage.cached, usage.estimated) == (9, 1, None, True)
    assert usage.raw["prompt_tokens"] == 10**30


def test_an_endpoint_that_is_down_is_named():
    with ScriptedServer(lambda _: completion()) as server:
        url = server.url
    client = ChatClient(base_url=url, api_key="", retry=FAST)
    with pytest.raises(ModelFailure, match=r"127\.0\.0\.1:\d+ cannot be reached"):
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


@pytest.mark.parametrize("reason", ["cancelled", "interrupted"])
def test_a_call_in_flight_is_aborted_at_once_and_the_server_sees_it(reason):
    control = CancellationToken()
    with ScriptedServer(lambda _: Held(60)) as server:
        timer = threading.Timer(0.3, control.stop, args=[reason])
        timer.start()
        began = time.monotonic()
        with pytest.raises(CallAborted) as caught:
            ask(server, control=control)
        assert time.monotonic() - began < 30
        timer.join()
        wait_until(lambda: server.disconnects, seconds=30)
    assert (caught.value.stop_reason, caught.value.cost) == (reason, None)  # it may be billed
    assert 0.2 < caught.value.tries.seconds < 30


def test_an_abandoned_call_is_metered_to_its_end_unless_its_rollout_is_cancelled():
    rollout = CancellationToken()
    with (
        ScriptedServer(lambda request: Held(0.5, Reply(200, completion("4")))) as server,
        rollout.child() as child,
    ):
        threading.Timer(0.1, child.stop, args=["abandoned"]).start()
        assert ask(server, control=child).content == "4"
    with ScriptedServer(lambda _: Held(60)) as server, rollout.child() as child:
        threading.Timer(0.1, child.stop, args=["abandoned"]).start()
        threading.Timer(0.3, rollout.stop, args=["cancelled"]).start()
        began = time.monotonic()
        with pytest.raises(CallAborted):
            ask(server, control=child)
        assert 0.25 < time.monotonic() - began < 30


def test_a_call_that_never_connects_is_aborted_and_costs_nothing():
    """The listener's queue is full, so the kernel leaves further connections unanswered."""
    control = CancellationToken()
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, ExitStack() as queued:
        for _ in range(4):
            one = queued.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        threading.Timer(0.3, control.stop, args=["cancelled"]).start()
        client = ChatClient(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}/v1", api_key="", retry=FAST)
        began = time.monotonic()
        with pytest.raises(CallAborted) as caught:
            client.complete(model="m", messages=QUESTION, sampling={}, control=control)
        assert time.monotonic() - began < 30
    assert caught.value.cost == Decimal(0)


def test_a_call_that_waits_for_a_free_connection_is_stopped():
    first, second = CancellationToken(), CancellationToken()
    with ScriptedServer(lambda _: Held(60)) as server, ThreadPoolExecutor() as pool:
        client = ChatClient(base_url=server.url, api_key="", retry=FAST, connections=1)
        asked = [
            pool.submit(client.complete, model="m", messages=QUESTION, sampling={}, control=control)
            for control in (first, second)
        ]
        wait_until(lambda: server.requests, seconds=2)
        time.sleep(0.2)
        assert len(server.requests) == 1
        first.stop("cancelled")
        second.stop("cancelled")
        for future in asked:
            with pytest.raises(Stopped):
                future.result(timeout=1)
        client.close()


def test_connections_are_kept_and_a_closed_one_is_replaced():
    with ScriptedServer(lambda _: completion("4")) as server:
        client = ChatClient(base_url=server.url, api_key="", retry=RetryPolicy(tries=1))

        def call():
            return client.complete(model="m", messages=QUESTION, sampling={}, control=CancellationToken())

        call()
        call()
        assert len(server.connections) == 1
        server.close_connections()
        assert call().content == "4"  # at the first try: the closed connection is noticed before it is used
        assert len(server.connections) == 2
        client.close()


def test_a_late_abort_does_not_touch_the_connection_of_another_call():
    control = CancellationToken()
    with ScriptedServer(lambda _: completion("4")) as server:
        client = ChatClient(base_url=server.url, api_key="", retry=RetryPolicy(tries=1))
        client.complete(model="m", messages=QUESTION, sampling={}, control=control)
        control.stop("cancelled")
        other = client.complete(model="m", messages=QUESTION, sampling={}, control=CancellationToken())
        assert (other.content, len(server.connections)) == ("4", 1)
        client.close()


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{", "broke"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\n{", "broke"),
        (b"HTTP/1.1 2", "broke"),
        (b"", "broke"),
        (b"\x00\xff garbage\r\n\r\n", "broke"),
    ],
)
def test_a_broken_answer_is_tried_again_and_may_be_billed(raw, said):
    with ScriptedServer(lambda _: raw) as server:
        with pytest.raises(ModelFailure, match=said) as caught:
            ask(server)
        assert len(server.requests) == 3
    assert caught.value.cost is None


def test_a_silent_server_times_out():
    with ScriptedServer(lambda _: Held(10)) as server:
        with pytest.raises(ModelFailure, match="did not answer in time") as caught:
            ask(server, timeout=0.2)
        assert len(server.requests) == 3
    assert caught.value.cost is None


def test_an_answer_that_a_proxy_compressed_is_read():
    body = gzip.compress(json.dumps(completion("4")).encode())
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with ScriptedServer(lambda _: head + body) as server:
        assert ask(server).content == "4"


def test_a_redirect_says_where_to():
    moved = Reply(308, "", {"Location": "https://elsewhere/v1"})
    with (
        ScriptedServer(lambda _: moved) as server,
        pytest.raises(ModelFailure, match="HTTP 308: https://elsewhere/v1"),
    ):
        ask(server)


def test_the_proxy_of_the_environment_is_used_and_no_proxy_is_honoured(monkeypatch):
    monkeypatch.setattr("urllib.request.proxy_bypass", lambda host: host == "direct.test")
    with ScriptedServer(lambda _: completion("4")) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.replace("//", "//user:p%40ss@").removesuffix("/v1"))
        client = ChatClient(base_url="http://model.test/v1", api_key="k", retry=FAST)
        client.complete(model="m", messages=QUESTION, sampling={}, control=CancellationToken())
        client.close()
        assert proxy.paths == ["http://model.test/v1/chat/completions"]
        assert proxy.headers[0]["Proxy-Authorization"] == "Basic dXNlcjpwQHNz"
        assert proxy.headers[0]["Host"] == "model.test"


def test_a_conversation_sends_the_same_bytes_as_its_messages_encoded_anew():
    with ScriptedServer(lambda _: completion("4")) as server:
        client = ChatClient(base_url=server.url, api_key="", retry=FAST)
        log, plain = MessageLog(), []
        for text in ('"quoted" é \u2028', "\x00\x1f", "a lone \ud800 surrogate", "", "𝄞"):
            for conversation in (log, plain):
                conversation.append({"role": "user", "content": text, "n": [1.5, None, True]})
                client.complete(model="m", messages=conversation, sampling={}, control=CancellationToken())
            assert server.requests[-1] == server.requests[-2]
            assert server.requests[-1]["messages"] == [
                message | {"content": message["content"].replace("\ud800", "?")} for message in plain
            ]
        client.close()


def test_what_json_cannot_hold_is_refused():
    with ScriptedServer(lambda _: completion("4")) as server:
        client = ChatClient(base_url=server.url, api_key="", retry=FAST)
        with pytest.raises(ModelFailure, match="could not be made"):
            client.complete(
                model="m", messages=QUESTION, sampling={"temperature": float("nan")}, control=CancellationToken()
            )
        assert server.requests == []
        client.close()
