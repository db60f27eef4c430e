"""A chat completion as servers send it → `Completion`; and the same for usage, whose names differ by server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..events import ToolCall, Usage
from .base import Completion
from .error_reading import no_completion


def parse_completion(body: Any) -> Completion:
    """Returns the first choice of a response body. Raises Passing, which names what is missing."""
    if not isinstance(body, Mapping):
        raise no_completion("the endpoint's answer is no object", body)
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], Mapping):
        raise no_completion("the endpoint's answer has no choices", body)
    message = choices[0].get("message")
    if not isinstance(message, Mapping):
        raise no_completion("the endpoint's answer has no message", choices[0])
    return Completion(
        content=_text(message.get("content")),
        reasoning=_text(message.get("reasoning_content") or message.get("reasoning")),
        tool_calls=tuple(_tool_calls(message.get("tool_calls"))),
        finish_reason=str(choices[0].get("finish_reason") or ""),
        usage=parse_usage(body.get("usage")),
    )


def parse_usage(raw: Any) -> Usage:
    """Token counts of a usage object; None for each that it does not have."""
    if not isinstance(raw, Mapping):
        return Usage()
    return Usage(
        prompt=_count(raw.get("prompt_tokens")),
        cached=_count(_detail(raw, "prompt_tokens_details", "cached_tokens")),
        completion=_count(raw.get("completion_tokens")),
        reasoning=_count(_detail(raw, "completion_tokens_details", "reasoning_tokens")),
        raw=dict(raw),
    )


def _tool_calls(raw: Any) -> list[ToolCall]:
    calls = []
    for number, call in enumerate(raw if isinstance(raw, list) else []):
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping):
            raise no_completion(f"tool call {number} has no function", call)
        arguments = function.get("arguments")
        calls.append(
            ToolCall(
                id=str(call.get("id") or f"call_{number}"),
                name=str(function.get("name") or ""),
                # Some servers send the arguments decoded.
                arguments=arguments if isinstance(arguments, str) else json.dumps(arguments or {}),
            )
        )
    return calls


def _text(content: Any) -> str:
    """Content as text: servers send a string, null, or a list of parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, Mapping))
    return ""


def _detail(raw: Mapping[str, Any], group: str, name: str) -> Any:
    details = raw.get(group)
    return details.get(name) if isinstance(details, Mapping) else None


def _count(value: Any) -> int | None:
    """A token count, if it can be one."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31 else None
