"""Models without tool calling: fenced blocks on the wire, native calls in events and store."""

from __future__ import annotations

import itertools
import json
from decimal import Decimal

import pytest

from rlm_runs.engine import events as e
from rlm_runs.engine.cancellation import CancellationToken
from rlm_runs.engine.clients.base import Completion
from rlm_runs.engine.clients.fences import FencedCall, blocks, call_of, written
from rlm_runs.engine.clients.text_tools import TextToolsClient, as_text
from rlm_runs.engine.environments.base import Settings
from rlm_runs.engine.repl import repl_tool
from rlm_runs.engine.scaffolds.llm import LlmSettings
from rlm_runs.engine.scaffolds.rlm_settings import RlmSettings
from tests.engine.riddle import PythonRiddle, ended, is_sub, of, steps
from tests.scripted_server import completion

REPL = "call_python_repl"
TOOLS = [
    repl_tool(name=REPL, description="Runs a cell."),
    {"type": "function", "function": {"name": "look_up", "description": "Looks up.", "parameters": {}}},
]


class Parrot:
    """A client that gives one answer and keeps its request."""

    def __init__(self, said, finish_reason="stop"):
        self.said = Completion(content=said, finish_reason=finish_reason)
        self.sent = []

    def complete(self, *, model, messages, tools=(), sampling, control, watcher=None):
        assert not tools
        self.sent.append(messages)
        return self.said


def say(text, *, tools=TOOLS, finish_reason="stop"):
    """Returns how a model's text is read, and how it is sent back."""
    parrot = Parrot(text, finish_reason)
    client = TextToolsClient(parrot)
    opening = [{"role": "system", "content": "Rules."}, {"role": "user", "content": "Question?"}]
    got = client.complete(model="m", messages=opening, tools=tools, sampling={}, control=CancellationToken())
    results = [{"role": "tool", "tool_call_id": call.id, "content": "42"} for call in got.tool_calls]
    again = [*opening, got.message(), *results]
    client.complete(model="m", messages=again, tools=tools, sampling={}, control=CancellationToken())
    return got, parrot.sent[-1][2:]


@pytest.mark.parametrize(
    ("text", "content", "calls"),
    [
        ("```repl\nx = 1\n```", "", ["x = 1"]),
        ("I look.\n\n```repl\nx = 1\n\ny = 2\n```", "I look.\n\n", ["x = 1\n\ny = 2"]),
        ("a\n```repl\n1\n```\n```repl\n2\n```", "a\n", ["1", "2"]),
        ("a\n```repl\n1\n```\nb", "a\n```repl\n1\n```\nb", ["1"]),
        ("````repl\ns = '''\n```\n'''\n````", "", ["s = '''\n```\n'''"]),
        ("```repl \nx\n```  \n\n", "```repl \nx\n```", ["x"]),
        ("```repl\n```", "```repl\n```", [""]),
        ("so: ```repl\nx\n```", "so: ```repl\nx\n```", []),
        ("```python\nx\n```", "```python\nx\n```", []),
        ("```repl\nx = 1", "```repl\nx = 1", ["x = 1"]),
        ("", "", []),
    ],
)
def test_blocks_are_calls_and_the_model_is_sent_its_own_words_again(text, content, calls):
    got, sent = say(text)
    assert [json.loads(call.arguments) for call in got.tool_calls] == [{"code": code} for code in calls]
    assert {call.name for call in got.tool_calls} <= {REPL}
    assert got.content.rstrip() == content.rstrip()
    assert sent[0] == {"role": "assistant", "content": text.rstrip()}
    assert len({call.id for call in got.tool_calls}) == len(calls)


@pytest.mark.parametrize(
    ("body", "name", "arguments"),
    [
        ('{"name": "look_up", "arguments": {"word": "ä"}}', "look_up", '{"word": "ä"}'),
        ('{"arguments": {}, "name": "look_up"}', "look_up", "{}"),
        ('{"name": "look_up"}', "look_up", "{}"),
        ('{"name": "look_up", "arguments": {no}}', "look_up", '{"name": "look_up", "arguments": {no}}'),
        ("[" * 100_000, "tool", "[" * 100_000),
        ("3", "tool", "3"),
    ],
)
def test_a_tool_block_names_its_tool(body, name, arguments):
    got, sent = say(f"```tool\n{body}\n```")
    assert [(call.name, call.arguments) for call in got.tool_calls] == [(name, arguments)]
    assert sent[0]["content"] == f"```tool\n{body}\n```"


def test_a_block_that_a_token_limit_cut_off_is_no_call():
    got, _ = say("```repl\nx = 1\n```\n```repl\nprint(", finish_reason="length")
    assert [json.loads(call.arguments)["code"] for call in got.tool_calls] == ["x = 1"]


def test_results_and_the_hosts_words_are_one_user_message():
    call = {"id": "c", "type": "function", "function": {"name": REPL, "arguments": '{"code": "1"}'}}
    messages = [
        {"role": "user", "content": "Question?"},
        {"role": "assistant", "content": "", "tool_calls": [call, call]},
        {"role": "tool", "tool_call_id": "c", "content": "one"},
        {"role": "tool", "tool_call_id": "c", "content": "two"},
        {"role": "user", "content": "Hurry."},
    ]
    told = as_text(messages, TOOLS)
    assert [message["role"] for message in told] == ["system", "user", "assistant", "user"]
    assert told[-1]["content"] == "Result 1:\none\n\nResult 2:\ntwo\n\nHurry."
    assert told[2]["content"] == "```repl\n1\n```\n```repl\n1\n```"
    assert "- `look_up`: Looks up. {}" in told[0]["content"]
    last = as_text(messages, ())
    assert last == told[1:]


def test_without_tools_nothing_is_changed():
    got, sent = say("```repl\nx\n```", tools=())
    assert got.tool_calls == ()
    assert sent == [{"role": "assistant", "content": "```repl\nx\n```"}]


def test_a_fence_is_longer_than_what_it_holds():
    call = FencedCall(REPL, json.dumps({"code": "a\n````\nb"}))
    text = written([call], cell_tool=REPL)
    assert text == "`````repl\na\n````\nb\n`````"
    assert [call_of(block, cell_tool=REPL) for block in blocks(text)] == [call]


def test_megabytes_of_fences_are_read_in_linear_time():
    assert sum(1 for _ in blocks("```repl\n" * 300_000)) == 1
    assert sum(1 for _ in blocks("```repl\n```\n" * 300_000)) == 300_000


def block(code):
    return completion(f"I try.\n```repl\n{code}\n```")


def test_an_rlm_is_played_in_text_and_stored_as_native(play):
    def sub(request):
        assert "tools" not in request
        if len(request["messages"]) == 2:
            return completion('```tool\n{"name": "look_up", "arguments": {"word": "x"}}\n```')
        assert request["messages"][-1] == {"role": "user", "content": "Result 1:\nx means 42"}
        return completion("\\boxed{42}")

    ready = 'answer["content"] = llm_batch(["x?"])[0]; answer["ready"] = True'
    told = play(steps(block("1 + 1"), completion("Hm."), block(ready), sub=sub), text_tools=True)
    assert (ended(told).answer, ended(told).reward) == ("42", 1.0)
    assert [(s.kind, s.name) for s in of(told, e.ExecutionStarted)] == [
        ("cell", REPL),
        ("cell", REPL),
        ("tool", "look_up"),
    ]
    assert of(told, e.ExecutionStarted)[0].arguments == '{"code": "1 + 1"}'
    turns = [turn for turn in of(told, e.TurnEnded) if turn.trajectory == 0]
    assert [turn.content for turn in turns] == ["I try.\n", "Hm.", "I try.\n"]
    root = [request for request in play.requests if not is_sub(request)]
    assert all("tools" not in request for request in play.requests)
    system = root[0]["messages"][0]["content"]
    assert "```repl" in system
    assert "```tool" not in system  # the root has no other tool
    assert [message["role"] for message in root[-1]["messages"]] == ["system", "user"] + ["assistant", "user"] * 2
    assert root[-1]["messages"][2]["content"] == "I try.\n```repl\n1 + 1\n```"
    assert root[-1]["messages"][3]["content"].startswith("Result 1:\nOut[1]: 2\n[Execution time: ")
    for first, second in itertools.pairwise(root):
        assert second["messages"][: len(first["messages"])] == first["messages"]


def test_the_python_tool_in_text_ends_with_a_turn_without_tools(play):
    looping = block("x = 41")

    def script(request):
        system = request["messages"][0]
        return looping if system["role"] == "system" else completion("42")

    settings = LlmSettings(max_turns=2)
    told = play(script, settings=settings, environment=PythonRiddle(Settings()), text_tools=True)
    assert (ended(told).stop_reason, ended(told).answer) == ("max_turns", "42")
    assert play.requests[-1]["messages"][1]["content"] == "I try.\n```repl\nx = 41\n```"


def test_depth_zero_in_text_has_both_kinds_of_blocks(play):
    both = completion(
        '```tool\n{"name": "look_up", "arguments": {"word": "x"}}\n```\n'
        '```repl\nanswer["content"] = "42"; answer["ready"] = True\n```'
    )
    told = play(steps(both), settings=RlmSettings(depth=0), text_tools=True, price=lambda *_: Decimal(0))
    assert ended(told).reward == 1.0
    assert [s.kind for s in of(told, e.ExecutionStarted)] == ["tool", "cell"]
