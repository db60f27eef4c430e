"""A policy's reply as a chat completion object of the API, with usage."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from typing import Any

from .conversation import Reply
from .requests import ChatRequest
from .tokens import cached_tokens, call_tokens, prompt_tokens, text_tokens

MODEL = "demo-model"


def chat_completion(request: ChatRequest, *, reply: Reply) -> dict[str, Any]:
    """Returns the response body. A reply beyond the request's token limit is cut, with `finish_reason`
    "length".
    """
    digest = hashlib.sha256(request.fingerprint.encode("utf-8", "replace")).hexdigest()
    calls = [_tool_call(reply, digest=digest)] if reply.tool else []
    content, finish_reason = reply.content, "tool_calls" if calls else "stop"
    reasoning = text_tokens(reply.reasoning)
    completion = reasoning + text_tokens(content) + sum(map(call_tokens, calls))
    if request.max_tokens is not None and completion > request.max_tokens:
        content = content[: 4 * max(0, request.max_tokens - reasoning)]
        calls, finish_reason = [], "length"
        completion, reasoning = request.max_tokens, min(reasoning, request.max_tokens)
    message: dict[str, Any] = {"role": "assistant", "content": content or None, "refusal": None}
    if reply.reasoning:
        message["reasoning_content"] = reply.reasoning
    if calls:
        message["tool_calls"] = calls
    return {
        "id": f"chatcmpl-{digest[:24]}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}],
        "usage": _usage(request, completion=completion, reasoning=reasoning),
    }


def _tool_call(reply: Reply, *, digest: str) -> dict[str, Any]:
    arguments = {"code": reply.code} if reply.arguments is None else reply.arguments
    function = {"name": reply.tool, "arguments": json.dumps(arguments)}
    return {"id": f"call_{digest[24:40]}", "type": "function", "function": function}


def _usage(request: ChatRequest, *, completion: int, reasoning: int) -> Mapping[str, Any]:
    prompt = prompt_tokens(request.messages, tools=request.tools)
    cached = cached_tokens(request.messages, tools=request.tools)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reasoning, "audio_tokens": 0},
    }
