"""Completions in the forms in which servers send them."""

from __future__ import annotations

import pytest

from rlm_runs.engine.clients.error_reading import TransientFailure
from rlm_runs.engine.clients.parsing import parse_completion
from rlm_runs.engine.errors import PromptTooLong


def parsed(message, **choice):
    return parse_completion({"choices": [{"message": message, **choice}]})


@pytest.mark.parametrize(
    ("message", "content", "reasoning"),
    [
        ({"content": "4"}, "4", ""),
        ({"content": None}, "", ""),
        ({}, "", ""),
        ({"content": None, "reasoning_content": "2 + 2"}, "", "2 + 2"),
        ({"content": None, "reasoning": "2 + 2", "tool_calls": []}, "", "2 + 2"),
        ({"content": "4", "reasoning": ""}, "4", ""),
        ({"content": [{"type": "text", "text": "4"}]}, "4", ""),
        ({"content": ["4", {"type": "output_text", "text": "2"}]}, "42", ""),
        ({"content": {"type": "text", "text": "4"}}, "4", ""),
        (
            {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"text": "4"}]},
            "4",
            "hm",
        ),
        ({"content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "4"}]}, "4", "hm"),
        ({"content": "4", "reasoning_details": [{"type": "reasoning.text", "text": "hm"}]}, "4", "hm"),
        ({"content": "4", "thinking_blocks": [{"type": "thinking", "thinking": "hm"}]}, "4", "hm"),
        ({"content": "<think>hm</think>4", "reasoning_content": None}, "4", "hm"),
        ({"content": "<think>b</think>4", "reasoning_content": "a"}, "4", "a\n\nb"),
        ({"content": None, "refusal": "I cannot"}, "I cannot", ""),
        ({"content": [{"type": "image_url", "image_url": {"url": "x"}}, None, 7]}, "", ""),
    ],
)
def test_content_and_reasoning(message, content, reasoning):
    found = parsed(message)
    assert (found.content, found.reasoning) == (content, reasoning)


def test_a_text_completion_is_a_completion():
    assert parse_completion({"choices": [{"text": "4"}]}).content == "4"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{x"}}]}, [("1", "f", "{x")]),
        ({"tool_calls": [{"function": {"name": "f", "arguments": None}}]}, [("call_0", "f", "{}")]),
        ({"tool_calls": [{"id": "", "function": {"name": "f"}}]}, [("call_0", "f", "{}")]),
        ({"tool_calls": [{"id": 7, "function": {"name": "f", "arguments": {"x": 1}}}]}, [("7", "f", '{"x": 1}')]),
        ({"tool_calls": {"id": "1", "function": {"name": "f", "arguments": "{}"}}}, [("1", "f", "{}")]),
        ({"tool_calls": [{"id": "1", "name": "f", "arguments": {}}]}, [("1", "f", "{}")]),
        ({"function_call": {"name": "f", "arguments": "{}"}}, [("call_0", "f", "{}")]),
        (
            {
                "content": [
                    {"type": "text", "text": "a"},
                    {"type": "tool_use", "id": "t", "name": "f", "input": {}},
                ]
            },
            [("t", "f", "{}")],
        ),
        ({"tool_calls": None}, []),
        ({"tool_calls": [{"function": {}}]}, [("call_0", "", "{}")]),
        ({"tool_calls": [{"function": {"name": "f", "arguments": "[1]"}}]}, [("call_0", "f", "[1]")]),
    ],
)
def test_tool_calls(message, expected):
    assert [(call.id, call.name, call.arguments) for call in parsed(message).tool_calls] == expected


@pytest.mark.parametrize(
    "body", [None, [], "x", {}, {"choices": []}, {"choices": None}, {"choices": [None]}, {"choices": [{}]}]
)
def test_what_is_no_completion_may_be_tried_again(body):
    with pytest.raises(TransientFailure):
        parse_completion(body)


def test_no_room_for_an_answer_is_a_prompt_that_is_too_long():
    with pytest.raises(PromptTooLong):
        parsed({"content": ""}, finish_reason="model_context_window_exceeded")
    with pytest.raises(PromptTooLong):
        parse_completion(
            {
                "choices": [{"message": {"content": ""}, "finish_reason": "length"}],
                "usage": {"prompt_tokens": 4096, "completion_tokens": 0},
            }
        )
    cut = parsed({"content": "some"}, finish_reason="model_context_window_exceeded")
    assert cut.content == "some"
    assert parsed({"content": ""}, finish_reason="length").content == ""
