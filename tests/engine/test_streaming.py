"""Streamed completions as servers send them, and what is known of their time."""

from __future__ import annotations

import json
import threading
import time

import pytest

from rlm_runs.engine.cancellation import CancellationToken
from rlm_runs.engine.clients.chat import ChatClient, RetryPolicy
from rlm_runs.engine.clients.event_stream import events
from rlm_runs.engine.clients.request_shape import RequestShape
from rlm_runs.engine.errors import CallAborted, ModelFailure
from rlm_runs.engine.live import TurnSoFar
from tests.scripted_server import Reply, ScriptedServer, Streamed, completion, event

FAST = RetryPolicy(tries=3, first_wait=0.001)
USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 4}}
DONE = "data: [DONE]\n\n"
STOP = event({}, finish="stop")
LAST = event(usage=USAGE)


def ask(server, *, sampling=None, control=None, watcher=None, stream=True):
    client = ChatClient(base_url=server.url, api_key="", retry=FAST, timeout=10, shape=RequestShape(stream=stream))
    try:
        return client.complete(
            model="m",
            messages=[{"role": "user", "content": "2 + 2?"}],
            sampling=sampling or {},
            control=control or CancellationToken(),
            watcher=watcher,
        )
    finally:
        client.close()


def streamed(*pieces, **more):
    with ScriptedServer(lambda _: Streamed(pieces, **more)) as server:
        return ask(server)


def call(*, index=None, **function):
    """A piece of a tool call."""
    piece = {} if index is None else {"index": index}
    if "id" in function:
        piece["id"] = function.pop("id")
    return event({"tool_calls": [piece | {"function": function}]})


def calls_of(answer):
    return [(call.id, call.name, call.arguments) for call in answer.tool_calls]


def test_the_request_asks_for_usage_and_sampling_goes_before_the_endpoint():
    with ScriptedServer(
        lambda request: completion("4") if "stream" not in request else Streamed([STOP])
    ) as server:
        ask(server)
        ask(server, stream=False)
        ask(server, sampling={"stream": False})
        ask(server, stream=False, sampling={"stream": True})
    asked = [(request.get("stream"), request.get("stream_options")) for request in server.requests]
    streaming = (True, {"include_usage": True})
    assert asked == [streaming, (None, None), (None, None), streaming]


def test_pieces_make_a_completion_with_its_usage_and_times():
    answer = streamed(
        event({"role": "assistant", "content": ""}),
        0.2,
        event({"content": "fo"}),
        0.2,
        event({"content": "ur"}),
        STOP,
        LAST,
        DONE,
    )
    assert (answer.content, answer.finish_reason) == ("four", "stop")
    assert (answer.usage.prompt, answer.usage.completion, answer.usage.cached) == (10, 5, 4)
    assert answer.usage.raw == USAGE
    assert 0.2 <= answer.first_token_seconds < answer.seconds
    assert 4 / answer.seconds < answer.tokens_per_second < 4 / 0.02  # the four tokens behind the first


def test_what_arrives_at_once_has_no_rate_and_what_is_not_streamed_no_times():
    answer = streamed(event({"content": "four"}), STOP, LAST, DONE)
    assert answer.first_token_seconds is not None
    assert answer.tokens_per_second is None
    with ScriptedServer(lambda _: completion("4")) as server:
        answer = ask(server)  # this server does not stream
    assert (answer.content, answer.first_token_seconds, answer.tokens_per_second) == ("4", None, None)


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_reasoning_is_assembled_under_either_name(name):
    answer = streamed(event({name: "let me "}), event({name: "think"}), event({"content": "4"}), STOP, DONE)
    assert (answer.reasoning, answer.content) == ("let me think", "4")


def test_reasoning_under_both_names_is_taken_once():
    answer = streamed(event({"reasoning": "hm", "reasoning_content": "hm"}), STOP, DONE)
    assert answer.reasoning == "hm"


@pytest.mark.parametrize(
    "pieces",
    {
        "by index": [
            call(index=0, id="a", name="f", arguments=""),
            call(index=1, id="b", name="g", arguments='{"y"'),
            call(index=0, arguments='{"x": '),
            call(index=1, arguments=": 2}"),
            call(index=0, arguments="1}"),
        ],
        "id with each piece": [
            call(index=0, id="a", name="f", arguments='{"x": '),
            call(index=0, id="a", arguments="1}"),
            call(index=1, id="b", name="g", arguments='{"y"'),
            call(index=1, id="b", arguments=": 2}"),
        ],
        "a new id with each piece": [
            call(index=0, id="a", name="f", arguments='{"x": '),
            call(index=0, id="made up", arguments="1}"),
            call(index=1, id="b", name="g", arguments='{"y"'),
            call(index=1, id="made up, too", arguments=": 2}"),
        ],
        "by id": [
            call(id="a", name="f", arguments='{"x": '),
            call(id="b", name="g", arguments='{"y"'),
            call(id="a", arguments="1}"),
            call(id="b", arguments=": 2}"),
        ],
        "by id at first": [
            call(id="a", name="f", arguments='{"x": '),
            call(arguments="1}"),
            call(id="b", name="g", arguments='{"y"'),
            call(arguments=": 2}"),
        ],
        "whole, all at index 0": [
            call(index=0, id="a", name="f", arguments='{"x": 1}'),
            call(index=0, id="b", name="g", arguments='{"y": 2}'),
        ],
        "the name with each piece": [
            call(index=0, id="a", name="f", arguments='{"x": '),
            call(index=0, name="f", arguments="1}"),
            call(index=1, id="b", name="g", arguments='{"y": 2}'),
        ],
        "decoded": [
            call(index=0, id="a", name="f", arguments={"x": 1}),
            call(index=1, id="b", name="g", arguments={"y": 2}),
        ],
    }.items(),
    ids=lambda pair: pair[0],
)
def test_tool_calls_are_assembled(pieces):
    answer = streamed(*pieces[1], event({}, finish="tool_calls"), DONE)
    assert calls_of(answer) == [("a", "f", '{"x": 1}'), ("b", "g", '{"y": 2}')]
    assert answer.finish_reason == "tool_calls"


def test_calls_without_index_and_id_begin_with_a_name():
    answer = streamed(
        call(name="f", arguments='{"x": '), call(arguments="1}"), call(name="g", arguments="{}"), STOP, DONE
    )
    assert [(name, arguments) for _, name, arguments in calls_of(answer)] == [("f", '{"x": 1}'), ("g", "{}")]


@pytest.mark.parametrize(
    "pieces",
    [
        [event({"content": "4"}, usage=USAGE), STOP, DONE],
        [event({"content": "4"}), event({}, finish="stop", usage=USAGE), DONE],
        [event({"content": "4"}), STOP, LAST, DONE],
        [event({"content": "4"}, usage={"completion_tokens": 1}), STOP, LAST, DONE],
        [event({"content": "4"}), STOP, LAST, event({"content": ""}, usage=None), DONE],
    ],
)
def test_usage_is_taken_where_it_is(pieces):
    assert streamed(*pieces).usage.raw == USAGE


@pytest.mark.parametrize(
    "pieces",
    [
        [event({"content": "4"}), STOP, LAST],  # [DONE] is missing
        [event({"content": "4"}), LAST, DONE],  # the reason is missing
        [": OPENROUTER PROCESSING\n\n", ":\n\n", event({"content": "4"}), ": ping\n\n", STOP, LAST, DONE],
        [(event({"content": "4"}) + STOP + LAST + DONE).replace("\n", "\r\n")],
        [(event({"content": "4"}) + STOP + LAST + DONE).replace("\n", "\r")],
        [piece.encode() for piece in event({"content": "4"}) + STOP + LAST + DONE],
        [event({"content": "4"}).replace("data: ", "data:"), STOP, LAST, "data:[DONE]"],
        ["event: completion\nid: 7\nretry: 3\n" + event({"content": "4"}), STOP, LAST, DONE],
        [event({"content": [{"type": "text", "text": "4"}]}), STOP, LAST, DONE],
        [event(choices=[{"index": 0, "message": {"content": "4"}, "finish_reason": "stop"}]), LAST, DONE],
        [event({"content": "4"}), event(choices=None), STOP, LAST, DONE],
        [event({"content": "4"}), event(choices=[{"index": 1, "delta": {"content": "x"}}]), STOP, LAST, DONE],
    ],
)
def test_accents_of_streams_are_understood(pieces):
    answer = streamed(*pieces)
    assert (answer.content, answer.usage.completion) == ("4", 5)


def test_a_stream_that_breaks_behind_its_end_is_whole():
    answer = streamed(event({"content": "4"}), STOP, end=False)
    assert (answer.content, answer.retries) == ("4", 0)


@pytest.mark.parametrize(
    ("pieces", "end"),
    [
        ([event({"content": "fo"})], False),
        ([event({"content": "fo"})], True),
        ([], True),
        ([": nothing yet\n\n"], False),
        (["data: {broken\n\n"], True),
        (["data: [1]\n\n"], True),
        (["<html>502</html>"], True),
        ([event({"content": "fo"}), event(error={"message": "upstream is gone", "code": 502})], True),
    ],
)
def test_a_broken_stream_is_tried_again(pieces, end):
    answers = [Streamed(pieces, end=end), Streamed([event({"content": "4"}), STOP, LAST, DONE])]
    watcher = TurnSoFar("root", 0)
    with ScriptedServer(lambda _: answers.pop(0)) as server:
        answer = ask(server, watcher=watcher)
    assert (answer.content, answer.retries) == ("4", 1)
    assert watcher.content.end() == "4"  # the first try is forgotten


def test_a_stream_that_keeps_breaking_fails_with_an_unknown_cost():
    with (
        ScriptedServer(lambda _: Streamed([event({"content": "fo"})], end=False)) as server,
        pytest.raises(ModelFailure, match="broke") as caught,
    ):
        ask(server)
    assert (len(server.requests), caught.value.cost) == (3, None)


def test_an_error_of_the_request_inside_a_stream_is_final():
    refused = event(error={"message": "no such tool", "code": 400})
    with (
        ScriptedServer(lambda _: Streamed([refused])) as server,
        pytest.raises(ModelFailure, match="no such tool"),
    ):
        ask(server)
    assert len(server.requests) == 1


def test_a_refusal_before_the_stream_is_read_as_ever():
    with (
        ScriptedServer(lambda _: Reply(401, {"error": {"message": "no key"}})) as server,
        pytest.raises(ModelFailure, match="HTTP 401: no key"),
    ):
        ask(server)


def test_stopping_ends_the_stream_at_the_server():
    control, watcher = CancellationToken(), TurnSoFar("root", 0)
    with ScriptedServer(lambda _: Streamed([event({"content": "a"}), 60])) as server:
        threading.Timer(0.3, control.stop, args=["cancelled"]).start()
        began = time.monotonic()
        with pytest.raises(CallAborted) as caught:
            ask(server, control=control, watcher=watcher)
        assert time.monotonic() - began < 30
        deadline = time.monotonic() + 30
        while not server.disconnects and time.monotonic() < deadline:
            time.sleep(0.01)
        assert server.disconnects
    assert caught.value.cost is None
    assert watcher.content.end() == "a"


def test_the_connection_is_kept_behind_a_stream():
    with ScriptedServer(lambda _: Streamed([event({"content": "4"}), STOP, DONE])) as server:
        client = ChatClient(base_url=server.url, api_key="", retry=FAST, shape=RequestShape(stream=True))
        for _ in range(3):
            client.complete(model="m", messages=[], sampling={}, control=CancellationToken())
        assert len(server.connections) == 1
        client.close()


def test_arguments_are_shown_while_they_arrive():
    watcher = TurnSoFar("root", 0)
    pieces = [event({"reasoning": "hm"}), call(index=0, id="a", name="f", arguments='{"code": "pr'), STOP]
    with ScriptedServer(lambda _: Streamed(pieces)) as server:
        ask(server, watcher=watcher)
    assert (watcher.reasoning.end(), watcher.arguments.end()) == ("hm", '{"code": "pr')


def test_long_lines_are_read_in_linear_time():
    text = "x" * 3_000_000
    payload = f"data: {json.dumps({'n': text})}\n\n".encode()
    began = time.monotonic()
    (found,) = events(payload[start : start + 65536] for start in range(0, len(payload), 65536))
    assert json.loads(found)["n"] == text
    assert time.monotonic() - began < 20
