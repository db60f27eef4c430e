"""Estimates of a call's tokens before it is made. Limits and budgets reserve them; the usage replaces them.

Each process learns per model, as moving averages, the tokens per character and the length of completions.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import cache
from typing import Any

from ..events import Usage
from .base import Messages, ToolSchemas
from .message_log import MessageLog

_CALLS = 20
"""The number of calls over which the moving averages run."""
_MARGIN = 1.1
"""The factor by which estimates are raised, so that they err on the high side."""


class TokenEstimator:
    """Estimates for one model. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls = 0
        self._tokens_per_character = 0.3
        self._completion = 500.0

    def estimate(self, messages: Messages, tools: ToolSchemas, sampling: Mapping[str, Any]) -> Usage:
        """Returns the estimated tokens of a call."""
        completion = self._completion * _MARGIN
        limits = [sampling.get(name) for name in ("max_tokens", "max_completion_tokens")]
        return Usage(
            prompt=round(_characters(messages, tools) * self._tokens_per_character * _MARGIN) + 1,
            completion=round(min([completion, *(limit for limit in limits if isinstance(limit, int))])) + 1,
        )

    def learn(self, messages: Messages, tools: ToolSchemas, usage: Usage) -> None:
        """Updates the averages with the usage of a call."""
        characters = _characters(messages, tools)
        with self._lock:
            self._calls += 1
            calls = min(self._calls, _CALLS)
            if usage.prompt is not None and characters:
                self._tokens_per_character += (usage.prompt / characters - self._tokens_per_character) / calls
            if usage.completion is not None:
                self._completion += (usage.completion - self._completion) / calls


@cache
def estimator(model: str) -> TokenEstimator:
    """Returns the estimator of a model, shared by the process."""
    return TokenEstimator()


def _characters(messages: Messages, tools: ToolSchemas) -> int:
    """Returns the approximate number of characters sent."""
    of_tools = len(str(tools)) if tools else 0
    if isinstance(messages, MessageLog):
        return of_tools + messages.counted(_message_characters)
    return of_tools + sum(map(_message_characters, messages))


def _message_characters(message: Mapping[str, Any]) -> int:
    calls = message.get("tool_calls") or ()
    return 4 + len(str(message.get("content") or "")) + sum(len(str(call)) for call in calls)
