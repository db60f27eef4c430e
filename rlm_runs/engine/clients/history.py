"""The messages of a conversation as requests send them.

The store keeps what the model wrote. Servers read the history again, and many refuse arguments that are not a JSON
object, an empty or repeated id, a name with other characters, or an empty message. Such a message would fail every
later turn. This module replaces it on the wire only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

NO_CONTENT = "(no content)"
"""Replaces the text of a turn that has neither text nor calls."""

_NAME = re.compile(r"[^a-zA-Z0-9_-]+")
_LONGEST_NAME = 64
_LONGEST_ID = 40
_ID = re.compile(r"[\x21-\x7e]+")


class WireHistory:
    """A converter of messages to their form on the wire, in order and each once. Ids are unique in the
    conversation.
    """

    def __init__(self) -> None:
        self._used: set[str] = set()
        self._open: list[tuple[str, str]] = []
        """Calls without a result: the model's id, and the id on the wire."""

    def of(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the message as it is sent."""
        if message["role"] == "tool":
            return {**message, "tool_call_id": self._id_of_result(str(message.get("tool_call_id", "")))}
        if message["role"] != "assistant":
            return dict(message)
        sent = dict(message)
        calls = message.get("tool_calls")
        if calls:
            self._open = [(str(call["id"]), self._fresh_id(str(call["id"]))) for call in calls]
            sent["tool_calls"] = [_call(call, id=ours) for call, (_, ours) in zip(calls, self._open, strict=True)]
        elif not str(message.get("content") or "").strip():
            sent["content"] = NO_CONTENT
        return sent

    def _fresh_id(self, theirs: str) -> str:
        usable = theirs if _ID.fullmatch(theirs) and len(theirs) <= _LONGEST_ID else "call"
        ours, number = usable, 1
        while ours in self._used or ours == "call":
            ours, number = f"{usable[: _LONGEST_ID - 8]}_{number}", number + 1
        self._used.add(ours)
        return ours

    def _id_of_result(self, theirs: str) -> str:
        """Returns the wire id of the first call with this id that has no result yet."""
        for place, (own, ours) in enumerate(self._open):
            if own == theirs:
                del self._open[place]
                return ours
        return theirs


def valid_arguments(written: str) -> str:
    """Returns a call's arguments as a JSON object that every parser accepts: the model's text if it is one."""
    if not written.strip():
        return "{}"
    try:
        json.loads(written, parse_constant=_refuse).keys()
        written.encode()
    except (ValueError, RecursionError, AttributeError):
        return _repair(written)
    return _repair(written) if "\\u" in written and _has_surrogate(written) else written


def _repair(written: str) -> str:
    """Returns what can be parsed of the arguments, else their text in an object, so that the model still
    sees it.
    """
    try:
        found = json.loads(written, strict=False, parse_constant=str)
    except (ValueError, RecursionError):
        found = {"malformed": written}
    if not isinstance(found, dict):
        found = {"value": found}
    return json.dumps(found, ensure_ascii=False).encode("utf-8", "replace").decode()


def _call(call: Mapping[str, Any], *, id: str) -> dict[str, Any]:
    function = call["function"]
    name = _NAME.sub("_", str(function["name"]))[:_LONGEST_NAME]
    return {
        **call,
        "id": id,
        "function": {**function, "name": name or "unknown", "arguments": valid_arguments(function["arguments"])},
    }


def _has_surrogate(written: str) -> bool:
    return any("\ud800" <= sign <= "\udfff" for sign in json.dumps(json.loads(written), ensure_ascii=False))


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")
