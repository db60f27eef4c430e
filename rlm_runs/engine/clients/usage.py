"""Parses a server's usage object into `Usage`. Names, places and what a count includes differ by server.

    prompt       prompt_tokens · input_tokens (Anthropic: without what the cache holds) · promptTokenCount · …
    cached       prompt_tokens_details.cached_tokens · prompt_cache_hit_tokens · cache_read_input_tokens · …
    cache write  cache_creation_input_tokens · cache_write_tokens · …
    reasoning    a part of completion_tokens, or beside it (xAI, Gemini), as total_tokens shows

An impossible count is unknown: a prompt of zero tokens, or a completion with text but zero tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..events import Usage

_PROMPT = ("prompt_tokens", "input_tokens", "promptTokenCount", "inputTokens", "prompt_eval_count", "prompt_n")
_COMPLETION: tuple[str, ...] = (
    "completion_tokens",
    "output_tokens",
    "candidatesTokenCount",
    "outputTokens",
    "eval_count",
)
_COMPLETION += ("generated_tokens", "predicted_n")
_TOTAL = ("total_tokens", "totalTokenCount", "totalTokens")
_PROMPT_DETAILS = ("prompt_tokens_details", "input_tokens_details", "prompt_token_details")
_COMPLETION_DETAILS = ("completion_tokens_details", "output_tokens_details", "completion_token_details")
_CACHED_DETAIL = ("cached_tokens", "cache_read_tokens", "cache_read_input_tokens", "cache_hit_tokens")
_CACHED = ("prompt_cache_hit_tokens", "cached_tokens", "cachedContentTokenCount", "cache_n", "num_cached_tokens")
_CACHED_BESIDE = ("cache_read_input_tokens", "cacheReadInputTokens", "cacheReadInputTokenCount")
_WRITTEN: tuple[str, ...] = (
    "cache_creation_input_tokens",
    "cache_write_tokens",
    "cacheWriteInputTokens",
    "cache_creation_tokens",
)
_WRITTEN += ("cache_write_input_tokens", "cacheWriteInputTokenCount")
_REASONING = ("reasoning_tokens", "thoughtsTokenCount", "thinking_tokens", "reasoning_output_tokens")
_REASONING_BESIDE = ("thoughtsTokenCount",)


def usage_in(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the usage object of a response, from any of its known places; empty if there is none."""
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], Mapping) else {}
    meta = body.get("meta")
    places = (
        body.get("usage"),
        choice.get("usage"),  # Moonshot, in streams
        _member(body.get("x_groq"), "usage"),
        body.get("usageMetadata"),
        body.get("token_usage"),
        _member(meta, "tokens"),
        body if "prompt_eval_count" in body or "eval_count" in body else None,
        body.get("timings"),  # llama.cpp
    )
    found = (place for place in places if isinstance(place, Mapping) and _counts(place))
    return next(found, body["usage"] if isinstance(body.get("usage"), Mapping) else {})


def read_usage(raw: Any, *, has_text: bool = True) -> Usage:
    """Returns the token counts of a usage object, None for each unknown one.

    `has_text` says whether a completion was written.
    """
    if not isinstance(raw, Mapping):
        return Usage()
    details, spent = _group(raw, _PROMPT_DETAILS), _group(raw, _COMPLETION_DETAILS)
    cached, written = _cached(raw, details), _first(details, _WRITTEN) or _first(raw, _WRITTEN)
    prompt = _whole_prompt(raw, details, cached=cached or 0, written=written or 0)
    reasoning = _first(spent, _REASONING)
    if reasoning is None:
        reasoning = _first(raw, _REASONING)
    completion, reasoning = _whole_completion(raw, prompt=prompt, reasoning=reasoning)
    return Usage(
        prompt=prompt or None,
        cached=cached if prompt else None,
        cache_write=written if prompt else None,
        completion=None if completion == 0 and (has_text or not prompt) else completion,
        reasoning=reasoning,
        raw={} if raw is None else _counts_only(raw),
    )


def _whole_prompt(raw: Mapping[str, Any], details: Mapping[str, Any], *, cached: int, written: int) -> int | None:
    """Returns the prompt tokens, including those read from and written to a cache."""
    prompt = _first(raw, _PROMPT)
    if prompt is None:
        return None
    beside = _first(raw, _CACHED_BESIDE) is not None or _first(raw, _WRITTEN) is not None
    total, completion = _first(raw, _TOTAL), _first(raw, _COMPLETION) or 0
    if "cache_n" in raw and "prompt_n" in raw:
        return prompt + cached
    if not cached + written or not (beside or cached > prompt):
        return prompt
    if total is not None and total == prompt + completion:
        # The total shows that the prompt includes them, unless the cache alone holds more.
        return prompt if cached + written <= prompt else prompt + cached + written
    if total is not None and total == prompt + cached + written + completion:
        return prompt + cached + written
    is_anthropic = "input_tokens" in raw or "inputTokens" in raw
    return prompt + cached + written if is_anthropic or cached + written > prompt else prompt


def _whole_completion(
    raw: Mapping[str, Any], *, prompt: int | None, reasoning: int | None
) -> tuple[int | None, int | None]:
    """Returns the completion tokens including reasoning, and the reasoning tokens."""
    completion, total = _first(raw, _COMPLETION), _first(raw, _TOTAL)
    if completion is None:
        return None, reasoning
    beside = any(name in raw for name in _REASONING_BESIDE)
    if total is not None and prompt is not None:
        rest = total - prompt - completion
        if reasoning and rest == reasoning:
            beside = True
        elif reasoning is None and rest > 0 and "prompt_tokens" in raw and not _mentions_cache(raw):
            return completion + rest, rest  # Gemini's OpenAI endpoint counts reasoning in the total only
    if reasoning and (beside or reasoning > completion):
        completion += reasoning
    return completion, reasoning


def _cached(raw: Mapping[str, Any], details: Mapping[str, Any]) -> int | None:
    for found in (_first(details, _CACHED_DETAIL), _first(raw, _CACHED), _first(raw, _CACHED_BESIDE)):
        if found:
            return found
    known = (_first(details, _CACHED_DETAIL), _first(raw, _CACHED), _first(raw, _CACHED_BESIDE))
    return 0 if any(count is not None for count in known) else None


def _mentions_cache(raw: Mapping[str, Any]) -> bool:
    return any(name in raw for name in (*_CACHED, *_CACHED_BESIDE, *_WRITTEN))


def _counts(place: Mapping[str, Any]) -> bool:
    return _first(place, _PROMPT) is not None or _first(place, _COMPLETION) is not None


def _group(raw: Mapping[str, Any], names: Sequence[str]) -> Mapping[str, Any]:
    return next((raw[name] for name in names if isinstance(raw.get(name), Mapping)), {})


def _first(raw: Mapping[str, Any], names: Sequence[str]) -> int | None:
    return next((count for name in names if (count := _count(raw.get(name))) is not None), None)


def _count(value: Any) -> int | None:
    """Returns a value as a token count; None if it cannot be one."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31 else None


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None


def _counts_only(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the usage object as received; of a whole body, only its counts."""
    return {
        name: value for name, value in raw.items() if name not in ("message", "choices", "response", "context")
    }
