"""Parses a server's chat completion into a `Completion`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import PromptTooLong
from ..events import ToolCall
from .base import Completion
from .error_reading import no_completion
from .thinking import ThinkTags, split_thinking
from .usage import read_usage, usage_in

_WINDOW_IS_FULL = ("model_context_window_exceeded", "context_length_exceeded", "context_window_exceeded")
"""Finish reasons that mean that the context window is full."""
_TEXTS = ("text", "thinking", "content", "summary", "refusal")
_THINKING_PARTS = ("thinking", "reasoning", "reasoning_text", "reasoning.text", "summary_text", "thought")


def parse_completion(body: Any, *, think_tags: ThinkTags = "auto") -> Completion:
    """Returns the first choice of a response body.

    Raises TransientFailure, which names what is missing, and PromptTooLong if the window had no room for an
    answer.
    """
    if not isinstance(body, Mapping):
        raise no_completion("the endpoint's answer is no object", body)
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], Mapping):
        raise no_completion("the endpoint's answer has no choices", body)
    message = _message(choices[0])
    content, thoughts = split_thinking(_text(message.get("content")), tags=think_tags)
    refusal = message.get("refusal")
    calls = tuple(_tool_calls(message))
    reasoning = "\n\n".join(filter(None, [_reasoning(message), thoughts]))
    content = content or (refusal if isinstance(refusal, str) else "")
    finish_reason = str(choices[0].get("finish_reason") or "")
    has_text = bool(content or reasoning or calls)
    usage = read_usage(usage_in(body), has_text=has_text)
    no_room = finish_reason in _WINDOW_IS_FULL or (finish_reason == "length" and usage.completion == 0)
    if no_room and not has_text:
        raise PromptTooLong(f"the endpoint had no room for an answer: its finish reason is {finish_reason}")
    return Completion(
        content=content, reasoning=reasoning, tool_calls=calls, finish_reason=finish_reason, usage=usage
    )


def _message(choice: Mapping[str, Any]) -> Mapping[str, Any]:
    message = choice.get("message")
    if isinstance(message, Mapping):
        return message
    if isinstance(choice.get("text"), str):  # a text completion server
        return {"content": choice["text"]}
    raise no_completion("the endpoint's answer has no message", choice)


def _tool_calls(message: Mapping[str, Any]) -> Iterator[ToolCall]:
    """Yields the calls of a message, including a legacy `function_call` and Anthropic's content parts."""
    listed = message.get("tool_calls")
    found = [listed] if isinstance(listed, Mapping) else listed if isinstance(listed, list) else []
    if not found and isinstance(message.get("function_call"), Mapping):
        found = [{"function": message["function_call"]}]
    content = message.get("content")
    parts = [part for part in content if isinstance(part, Mapping)] if isinstance(content, list) else []
    found = [
        *found,
        *({"id": part.get("id"), "function": part} for part in parts if part.get("type") == "tool_use"),
    ]
    for number, call in enumerate(found):
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping):
            function = call if isinstance(call, Mapping) and "name" in call else None
        if function is None:
            raise no_completion(f"tool call {number} has no function", call)
        given = function.get("arguments", function.get("input"))
        yield ToolCall(
            id=str(call.get("id") or f"call_{number}"),
            name=str(function.get("name") or ""),
            # Some servers send the arguments decoded.
            arguments=given if isinstance(given, str) else "{}" if given is None else json.dumps(given),
        )


def _reasoning(message: Mapping[str, Any]) -> str:
    """Returns the model's reasoning, from the first known field that has some."""
    for name in ("reasoning_content", "reasoning", "thinking", "reasoning_details", "thinking_blocks"):
        if found := _text_in(message.get(name)):
            return found
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    return "\n\n".join(
        filter(None, (_text_in(part) for part in parts if isinstance(part, Mapping) and _is_thought(part)))
    )


def _text_in(value: Any) -> str:
    """Returns the text of a value that may be a string, a part, or a list of these."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(map(_text_in, value))
    if isinstance(value, Mapping):
        return next((said for name in _TEXTS if (said := _text_in(value.get(name)))), "")
    return ""


def _text(content: Any) -> str:
    """Returns content as text. Servers send a string, null, a part, or a list of parts."""
    parts = content if isinstance(content, list) else [content]
    return "".join(_text_in(part) for part in parts if not (isinstance(part, Mapping) and _is_thought(part)))


def _is_thought(part: Mapping[str, Any]) -> bool:
    return part.get("type") in _THINKING_PARTS or part.get("thought") is True
