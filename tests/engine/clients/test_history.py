"""What a conversation sends is valid whatever the model wrote, and the model's own text is kept beside it."""

from __future__ import annotations

import json

import pytest

from rlm_runs.engine.clients.history import NO_CONTENT, WireHistory, valid_arguments
from rlm_runs.engine.clients.message_log import MessageLog


def call(id, name="f", arguments="{}"):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def said(*calls, content=""):
    return {"role": "assistant", "content": content} | ({"tool_calls": list(calls)} if calls else {})


def result(id, content="ok"):
    return {"role": "tool", "tool_call_id": id, "content": content}


def sent(*messages):
    history = WireHistory()
    return [history.of(message) for message in messages]


@pytest.mark.parametrize("written", ['{"x":  1}', "{}", ' {"a": "é"} ', '{"a": "\\ud83d\\ude00"}'])
def test_valid_arguments_are_the_models_own(written):
    assert valid_arguments(written) == written


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("", {}),
        ("  ", {}),
        ("{broken", {"malformed": "{broken"}),
        ('{"code": "print(1)"', {"malformed": '{"code": "print(1)"'}),
        ('{"code": "a\nb"}', {"code": "a\nb"}),
        ('"print(1)"', {"value": "print(1)"}),
        ("[1, 2]", {"value": [1, 2]}),
        ("null", {"value": None}),
        ("42", {"value": 42}),
        ('{"x": NaN}', {"x": "NaN"}),
        ('{"x": "\\ud800"}', {"x": "?"}),
        ("[" * 5000, {"malformed": "[" * 5000}),
    ],
)
def test_other_arguments_become_an_object(written, expected):
    found = valid_arguments(written)
    assert json.loads(found, parse_constant=lambda constant: pytest.fail(constant)) == expected
    found.encode()


def test_ids_are_unique_and_results_follow_them():
    messages = sent(
        said(call("a"), call("a"), call("")),
        result("a", "1"),
        result("a", "2"),
        result("", "3"),
        said(call("a")),
        result("a", "4"),
    )
    ids = [one["id"] for message in messages for one in message.get("tool_calls", ())]
    assert ids[0] == "a"
    assert len(set(ids)) == 4
    assert all(ids)
    assert [message["tool_call_id"] for message in messages if message["role"] == "tool"] == ids
    assert [message["content"] for message in messages if message["role"] == "tool"] == ["1", "2", "3", "4"]


@pytest.mark.parametrize("id", ["x" * 41, "with space", "é", "call"])
def test_ids_that_servers_refuse_are_replaced(id):
    ours = sent(said(call(id)))[0]["tool_calls"][0]["id"]
    assert ours != id
    assert ours.isascii()
    assert 0 < len(ours) <= 40


def test_an_id_of_the_model_is_kept():
    assert sent(said(call("functions.f:0")))[0]["tool_calls"][0]["id"] == "functions.f:0"


@pytest.mark.parametrize(
    ("name", "expected"), [("f", "f"), ("", "unknown"), ("a b.c", "a_b_c"), ("x" * 100, "x" * 64)]
)
def test_names_have_the_characters_that_servers_take(name, expected):
    assert sent(said(call("1", name)))[0]["tool_calls"][0]["function"]["name"] == expected


def test_a_turn_without_anything_says_so():
    assert sent(said(content=" "))[0]["content"] == NO_CONTENT
    assert sent(said(call("1")))[0]["content"] == ""


def test_the_log_keeps_what_the_model_wrote():
    own = said(call("", "f", "{broken"))
    log = MessageLog([{"role": "user", "content": "?"}])
    log.append(own)
    log.append(result(""))
    wire = json.loads(b"[" + log.encoded() + b"]")
    assert log[1] == own
    assert json.loads(wire[1]["tool_calls"][0]["function"]["arguments"]) == {"malformed": "{broken"}
    assert wire[2]["tool_call_id"] == wire[1]["tool_calls"][0]["id"] != ""
