"""Our own token count: a call's usage if its server reports none, and whether a server truncated a prompt.

The vocabulary is o200k_base for every model. Other tokenizers of recent models differ from it by about a tenth on
English and code. Numbers that rest on this count are marked as estimates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from splintr import AnyTokenizer, Tokenizer

from ..events import Usage
from .base import Completion, Messages
from .message_log import MessageLog

VOCABULARY = "o200k_base"
_PER_MESSAGE = 4
_SHORTEST = 4096
"""Prompts with fewer characters are not checked for truncation."""
_FAR_BELOW = 0.75
"""If a server reports less than this share of our own count, it did not read the whole prompt."""


def count_tokens(text: str) -> int:
    """Returns the number of tokens in a text."""
    return len(_tokenizer().encode_flat(text.encode("utf-8", "replace").decode())) // 4 if text else 0


def message_tokens(message: Mapping[str, Any]) -> int:
    """Returns the number of tokens in a message of a prompt."""
    calls = message.get("tool_calls") or ()
    functions = (call["function"] for call in calls)
    called = "".join(f"{function['name']}{function['arguments']}" for function in functions)
    return _PER_MESSAGE + count_tokens(f"{message.get('content') or ''}{called}")


def prompt_tokens(messages: Messages) -> int:
    """Returns the number of tokens in a prompt, without its tools."""
    return messages.counted(message_tokens) if isinstance(messages, MessageLog) else _sum(messages)


def with_estimates(completion: Completion, messages: Messages, *, checks_prompt: bool = True) -> Usage:
    """Returns the usage, with estimates for what the server did not report and a mark if it truncated the
    prompt.
    """
    usage = completion.usage
    if usage.prompt is None or usage.completion is None:
        return replace(
            usage,
            prompt=usage.prompt or prompt_tokens(messages),
            completion=usage.completion if usage.completion is not None else _completion_tokens(completion),
            estimated=True,
        )
    if not checks_prompt or usage.prompt > _characters(messages) or _characters(messages) < _SHORTEST:
        return usage
    sent = prompt_tokens(messages)
    return replace(usage, sent=sent) if usage.prompt < _FAR_BELOW * sent else usage


def _completion_tokens(completion: Completion) -> int:
    calls = "".join(f"{call.name}{call.arguments}" for call in completion.tool_calls)
    return count_tokens(f"{completion.reasoning}{completion.content}{calls}")


def _sum(messages: Messages) -> int:
    return sum(map(message_tokens, messages))


def _characters(messages: Messages) -> int:
    if isinstance(messages, MessageLog):
        return messages.counted(_content_characters)
    return sum(map(_content_characters, messages))


def _content_characters(message: Mapping[str, Any]) -> int:
    return len(message.get("content") or "")


@cache
def _tokenizer() -> AnyTokenizer:
    return Tokenizer.from_pretrained(VOCABULARY)
