"""The messages of a conversation, with their JSON for requests.

Each call sends the whole history. A message is encoded once; the next call only adds the new ones. The messages
stay as the model wrote them; their JSON is what servers accept (see `history`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, overload

from .history import WireHistory

_ENCODE = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class MessageLog(Sequence[Mapping[str, Any]]):
    """An append-only sequence of messages. Used by one thread at a time."""

    def __init__(self, messages: Iterable[Mapping[str, Any]] = ()) -> None:
        self._messages = list(messages)
        self._wire = WireHistory()
        self._encoded = bytearray()
        self._encoded_messages = 0
        self._counted: dict[Callable[[Mapping[str, Any]], int], tuple[int, int]] = {}

    def append(self, message: Mapping[str, Any]) -> None:
        """Adds a message. The caller must not change it later."""
        self._messages.append(message)

    def encoded(self) -> bytearray:
        """Returns the messages as the elements of a JSON array, without brackets. The caller must not modify the
        result.
        """
        for message in self._messages[self._encoded_messages :]:
            if self._encoded:
                self._encoded += b","
            self._encoded += encode(self._wire.of(message))
        self._encoded_messages = len(self._messages)
        return self._encoded

    def counted(self, count: Callable[[Mapping[str, Any]], int]) -> int:
        """Returns the sum of `count` over the messages. Each function counts each message once."""
        messages, total = self._counted.get(count, (0, 0))
        total += sum(map(count, self._messages[messages:]))
        self._counted[count] = len(self._messages), total
        return total

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Mapping[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> Mapping[str, Any] | Sequence[Mapping[str, Any]]:
        return self._messages[index]

    def __len__(self) -> int:
        return len(self._messages)


def encode(value: Any) -> bytes:
    """Returns JSON in UTF-8. A lone surrogate, which UTF-8 cannot encode, becomes `?`. Raises ValueError."""
    return _ENCODE(value).encode("utf-8", "replace")


def body_of(parameters: Mapping[str, Any], messages: Sequence[Mapping[str, Any]]) -> list[bytes | bytearray]:
    """Returns the JSON object of the parameters and the messages, in parts that are sent one after the other."""
    log = messages if isinstance(messages, MessageLog) else MessageLog(messages)
    return [encode(parameters)[:-1] + b',"messages":[', log.encoded(), b"]}"]
