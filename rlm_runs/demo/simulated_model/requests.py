"""Validation of chat completion requests. Errors have the API's form."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .errors import bad_request

ROLES = ("system", "developer", "user", "assistant", "tool")


@dataclass(frozen=True)
class ChatRequest:
    """The part of a request that the demo model uses.

    `fingerprint` is the body, independent of key order and of whether the answer is streamed.
    """

    model: str
    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Mapping[str, Any]]
    max_tokens: int | None
    sampling_seed: int | None
    stream: bool
    stream_usage: bool
    fingerprint: str


def parse_request(body: bytes) -> ChatRequest:
    """Returns the parsed request. Raises ApiError (400) for a malformed body."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise bad_request("We could not parse the JSON body of your request.") from error
    if not isinstance(data, dict):
        raise bad_request("The JSON body of your request must be an object.")
    stream = data.pop("stream", None)
    if not isinstance(stream, bool | None):
        raise bad_request("Invalid type for 'stream': expected a boolean.", param="stream")
    stream_options = data.pop("stream_options", None) or {}
    if not isinstance(stream_options, dict) or (stream_options and not stream):
        raise bad_request("'stream_options' is an object, and only allowed with 'stream'.", param="stream_options")
    if data.get("n") not in (None, 1):
        raise bad_request("Unsupported value: 'n' must be 1 with this model.", param="n")
    if not isinstance(data.get("model"), str):
        raise bad_request("you must provide a model parameter", param="model")
    tools = _objects(data.get("tools") or [], param="tools")
    return ChatRequest(
        model=data["model"],
        messages=_messages(data.get("messages")),
        tools=() if data.get("tool_choice") == "none" else tools,
        max_tokens=_positive(data, "max_completion_tokens") or _positive(data, "max_tokens"),
        sampling_seed=data["seed"] if isinstance(data.get("seed"), int) else None,
        stream=bool(stream),
        stream_usage=bool(stream_options.get("include_usage")),
        fingerprint=json.dumps(data, sort_keys=True),
    )


def _messages(value: Any) -> Sequence[Mapping[str, Any]]:
    if value is None:
        raise bad_request("Missing required parameter: 'messages'.", param="messages")
    messages = _objects(value, param="messages")
    if not messages:
        raise bad_request("Invalid 'messages': empty array. Expected at least 1 message.", param="messages")
    for index, message in enumerate(messages):
        where = f"messages[{index}]"
        if message.get("role") not in ROLES:
            allowed = ", ".join(f"'{role}'" for role in ROLES)
            raise bad_request(f"Invalid value for '{where}.role'. Supported values are: {allowed}.", param=where)
        if not isinstance(message.get("content"), str | list | None):
            raise bad_request(f"Invalid type for '{where}.content'.", param=f"{where}.content")
        for call in _objects(message.get("tool_calls") or [], param=f"{where}.tool_calls"):
            if not isinstance(call.get("function") or {}, dict):
                raise bad_request(f"Invalid type for '{where}.tool_calls'.", param=f"{where}.tool_calls")
    return messages


def _objects(value: Any, *, param: str) -> Sequence[Mapping[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise bad_request(f"Invalid type for '{param}': expected an array of objects.", param=param)
    return value


def _positive(data: Mapping[str, Any], name: str) -> int | None:
    value = data.get(name)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise bad_request(f"Invalid '{name}': expected an integer of at least 1.", param=name)
    return value
