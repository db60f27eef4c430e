"""The simulated model's token counts, and the usage that it reports.

- A text has ceil(UTF-8 bytes / 4) tokens.
- A prompt has the tokens of each message's text and tool calls, plus 4 per message, plus the tokens of the
  tools' JSON.
- A completion has the tokens of its text, its tool calls and its reasoning. Reasoning tokens are those of the
  text in `reasoning_content`.
- Cached tokens are those before the last assistant message, which were sent before. They count as cached from
  1,024 tokens on, in steps of 128.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

PER_MESSAGE = 4
CACHE_MINIMUM = 1024
CACHE_STEP = 128


def text_tokens(text: str) -> int:
    """Returns the tokens of a text."""
    return -(-len(text.encode("utf-8", "replace")) // 4)


def message_tokens(message: Mapping[str, Any]) -> int:
    """Returns the tokens of one message of a prompt."""
    calls = message.get("tool_calls") or []
    return PER_MESSAGE + text_tokens(content_text(message.get("content"))) + sum(map(call_tokens, calls))


def call_tokens(call: Mapping[str, Any]) -> int:
    """Returns the tokens of one tool call: its name and its arguments."""
    function = call.get("function") or {}
    return text_tokens(f"{function.get('name', '')}{function.get('arguments', '')}")


def prompt_tokens(messages: Sequence[Mapping[str, Any]], *, tools: Sequence[Any] = ()) -> int:
    """Returns the tokens of a whole prompt."""
    return _tools_tokens(tools) + sum(map(message_tokens, messages))


def cached_tokens(messages: Sequence[Mapping[str, Any]], *, tools: Sequence[Any] = ()) -> int:
    """Returns the tokens of the prompt that an earlier turn of the same conversation sent."""
    last = max((i for i, m in enumerate(messages) if m.get("role") == "assistant"), default=0)
    seen = prompt_tokens(messages[:last], tools=tools) if last else 0
    return seen // CACHE_STEP * CACHE_STEP if seen >= CACHE_MINIMUM else 0


def content_text(content: Any) -> str:
    """Returns a message's content, which may be a text, a list of parts or null, as text."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return ""


def _tools_tokens(tools: Sequence[Any]) -> int:
    return text_tokens(json.dumps(list(tools))) if tools else 0
