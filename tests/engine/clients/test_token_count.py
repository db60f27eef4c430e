"""Our own count of tokens, and what it is used for."""

from __future__ import annotations

import pytest

from rlm_runs.engine.clients.base import Completion
from rlm_runs.engine.clients.message_log import MessageLog
from rlm_runs.engine.clients.token_count import count_tokens, message_tokens, prompt_tokens, with_estimates
from rlm_runs.engine.events import ToolCall, Usage

LONG = "The quick brown fox jumps over the lazy dog. " * 1000  # 10,000 tokens, 45,000 characters


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 0), ("hello world", 2), ("The quick brown fox", 4), (LONG, 10_001), ("\ud800", 1)]
)
def test_tokens_of_a_text(text, tokens):
    assert count_tokens(text) == tokens


def test_a_prompt_is_its_messages_with_their_calls():
    messages = [
        {"role": "user", "content": "hello world"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"function": {"name": "f", "arguments": '{"code": "print(1)"}'}}],
        },
    ]
    assert prompt_tokens(messages) == 4 + 2 + 4 + count_tokens('f{"code": "print(1)"}')


def test_a_log_counts_each_message_once(monkeypatch):
    counted = []

    def counting(message):
        counted.append(message)
        return message_tokens(message)

    monkeypatch.setattr("rlm_runs.engine.clients.token_count.message_tokens", counting)
    log = MessageLog([{"role": "user", "content": "hello world"}])
    assert prompt_tokens(log) == 6
    log.append({"role": "user", "content": "hello"})
    assert [prompt_tokens(log), prompt_tokens(log)] == [11, 11]
    assert len(counted) == 2


def usage_of(usage, content=LONG, **more):
    completion = Completion(content="hello world", usage=usage)
    return with_estimates(completion, [{"role": "user", "content": content}], **more)


def test_what_the_server_does_not_say_is_estimated_and_marked():
    found = usage_of(Usage(raw={"cost": 1}))
    assert (found.prompt, found.completion, found.estimated, found.raw) == (10_005, 2, True, {"cost": 1})
    found = usage_of(Usage(prompt=7))
    assert (found.prompt, found.completion, found.estimated, found.sent) == (7, 2, True, None)
    called = Completion(reasoning="hello", tool_calls=[ToolCall("1", "f", "{}")], usage=Usage(prompt=7))
    assert with_estimates(called, [{"role": "user", "content": "x"}]).completion == 1 + count_tokens("f{}")


def test_a_count_far_below_is_a_prompt_that_was_cut():
    assert usage_of(Usage(prompt=2048, completion=2)).sent == 10_005
    assert usage_of(Usage(prompt=7000, completion=2)).sent == 10_005
    for whole in (8000, 10_000, 13_000, 60_000):
        assert usage_of(Usage(prompt=whole, completion=2)).sent is None
    assert usage_of(Usage(prompt=2048, completion=2), checks_prompt=False).sent is None
    assert usage_of(Usage(prompt=10, completion=2), content="short " * 500).sent is None


def test_a_cache_that_is_counted_beside_is_no_false_alarm():
    """Anthropic's input_tokens leaves out what the cache holds; `usage` adds it."""
    from rlm_runs.engine.clients.usage import read_usage

    raw = {"input_tokens": 12, "cache_read_input_tokens": 10_000, "output_tokens": 2}
    assert usage_of(read_usage(raw)).sent is None
