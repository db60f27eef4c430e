"""A streamed chat completion: assembles server-sent events into the body that the server would have sent whole.

Servers differ in how they number tool calls, name reasoning, place usage and end a stream. This module handles
these differences; the result is parsed like any other body.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .base import Completion, Watcher

_END = "[DONE]"


class BrokenStream(Exception):
    """The stream ended before its completion did, or is not a stream of completions."""


@dataclass
class _Call:
    """A tool call while its pieces arrive."""

    key: int | None
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)

    def as_sent(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "type": "function",
            "function": {"name": self.name, "arguments": "".join(self.arguments)},
        }


class StreamedCompletion:
    """The completion so far. `first_at` and `last_at` are the times of its first and last piece of text, reasoning
    or tool call, on the monotonic clock.
    """

    def __init__(self, watcher: Watcher | None = None) -> None:
        self._watcher = watcher
        self._began = time.monotonic()
        self._head: dict[str, Any] = {}
        self._content: list[str] = []
        self._reasoning: list[str] = []
        self._calls: list[_Call] = []
        self._finish_reason: str | None = None
        self._usage: Any = None
        self.first_at: float | None = None
        self.last_at: float | None = None
        self.is_done = False

    def read(self, pieces: Iterable[bytes]) -> None:
        """Reads a body to its end. Raises BrokenStream if it ends before the completion does."""
        if self._watcher:
            self._watcher.restart()
        try:
            for event in events(pieces):
                self.add(event)
        except (OSError, http.client.HTTPException):
            if not self.is_complete:  # ignore whatever follows the end of the completion
                raise
        if not self.is_complete:
            raise BrokenStream("it ended before the completion did")

    def timed(self, completion: Completion) -> Completion:
        """Returns the completion with the times of its stream."""
        if self.first_at is None or self.last_at is None:
            return completion
        tokens, seconds = completion.usage.completion or 0, self.last_at - self.first_at
        rate = (tokens - 1) / seconds if tokens > 1 and seconds > 0 else None
        return replace(completion, first_token_seconds=self.first_at - self._began, tokens_per_second=rate)

    @property
    def is_complete(self) -> bool:
        """Whether the server marked the completion as complete, by its last line or by a finish reason."""
        return self.is_done or self._finish_reason is not None or "error" in self._head

    def body(self) -> dict[str, Any]:
        """Returns the completion as a body that was sent whole."""
        message: dict[str, Any] = {"role": "assistant", "content": "".join(self._content)}
        if self._reasoning:
            message["reasoning_content"] = "".join(self._reasoning)
        if self._calls:
            message["tool_calls"] = [call.as_sent() for call in self._calls]
        choice = {"index": 0, "message": message, "finish_reason": self._finish_reason}
        return {**self._head, "choices": [choice], "usage": self._usage}

    def add(self, event: str) -> None:
        """Adds the data of one event. Raises BrokenStream if it is not JSON."""
        if event.strip() == _END:
            self.is_done = True
            return
        try:
            chunk = json.loads(event)
        except ValueError as error:
            raise BrokenStream(f"it holds what is not JSON: {event[:200]!r}") from error
        if not isinstance(chunk, Mapping):
            raise BrokenStream(f"it holds what is no object: {event[:200]!r}")
        self._head |= {
            name: value for name, value in chunk.items() if name not in ("choices", "usage") and value is not None
        }
        if chunk.get("usage"):
            self._usage = chunk["usage"]  # some servers send it once, some with each chunk; the last one counts
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else []:
            if isinstance(choice, Mapping) and choice.get("index", 0) == 0:
                self._add_choice(choice)

    def _add_choice(self, choice: Mapping[str, Any]) -> None:
        delta = choice.get("delta")
        if not isinstance(delta, Mapping):
            whole = choice.get("message")  # some servers send a short answer whole
            delta = whole if isinstance(whole, Mapping) and self.first_at is None else {}
        content = _text(delta.get("content"))
        reasoning = _text(delta.get("reasoning_content")) or _text(delta.get("reasoning"))
        calls = delta.get("tool_calls")
        if content or reasoning or calls:
            self.last_at = time.monotonic()
            self.first_at = self.first_at or self.last_at
        if content:
            self._content.append(content)
        if reasoning:
            self._reasoning.append(reasoning)
        if self._watcher and (content or reasoning):
            self._watcher.add(content=content, reasoning=reasoning)
        for call in calls if isinstance(calls, list) else []:
            if isinstance(call, Mapping):
                self._add_call(call)
        if choice.get("finish_reason"):
            self._finish_reason = str(choice["finish_reason"])

    def _add_call(self, delta: Mapping[str, Any]) -> None:
        function = delta.get("function")
        function = function if isinstance(function, Mapping) else {}
        name = str(function.get("name") or "")
        call = self._call_of(delta, name=name)
        call.id = call.id or str(delta.get("id") or "")
        if name != call.name:  # some servers repeat the name with each piece
            call.name += name
        arguments = function.get("arguments")
        if arguments:
            piece = arguments if isinstance(arguments, str) else json.dumps(arguments)  # some send them decoded
            call.arguments.append(piece)
            if self._watcher:
                self._watcher.add(arguments=piece)

    def _call_of(self, delta: Mapping[str, Any], *, name: str) -> _Call:
        """Returns the call that a piece belongs to, by its index, else by its id, else the last call.

        Some servers give every call the index 0, others give every piece its own id. A piece therefore begins a
        new call only if its id is new and it has a name.
        """
        index, own_id = delta.get("index"), str(delta.get("id") or "")
        key = index if isinstance(index, int) else None
        found: _Call | None = None
        if key is not None:
            found = next((call for call in reversed(self._calls) if call.key == key), None)
        elif own_id:
            found = next((call for call in self._calls if call.id == own_id), None)
        elif self._calls and not (name and self._calls[-1].arguments):
            found = self._calls[-1]
        begins = bool(found and name and own_id and found.id and own_id != found.id)
        if found is None or begins:
            found = _Call(key)
            self._calls.append(found)
        return found


def events(pieces: Iterable[bytes]) -> Iterator[str]:
    """Yields the data of each event of a body. Comments, which keep a connection alive, are skipped."""
    data: list[str] = []
    for line in _lines(pieces):
        if not line:
            if data:
                yield "\n".join(data)
                data = []
        elif line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" ").decode("utf-8", "replace"))
    if data:  # the last event may lack the empty line after it
        yield "\n".join(data)


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yields lines without their ends, which are LF, CRLF or CR."""
    rest = b""
    for piece in pieces:
        whole = (rest + piece).splitlines(keepends=True)
        # The last line may continue in the next piece, and a CR may be half of a CRLF.
        rest = whole.pop() if whole and not whole[-1].endswith(b"\n") else b""
        for line in whole:
            yield line.rstrip(b"\r\n")
    if rest:
        yield rest.rstrip(b"\r\n")


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "".join(str(part.get("text") or "") for part in value if isinstance(part, Mapping))
    return value if isinstance(value, str) else ""
