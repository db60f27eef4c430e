"""A cell's output in the supervisor: bytes in, text out. The head is forwarded, the tail is kept.

The first half of the allowed characters is forwarded as it arrives. Of the rest, only the end is kept as bytes and
forwarded when the cell ends. Characters beyond the head are counted by their first bytes.
"""

from __future__ import annotations

import re
from collections import deque

_CONTINUATION = bytes(range(0x80, 0xC0))
"""The bytes of UTF-8 that do not begin a character."""
_SURROGATE = re.compile(rb"(\xed[\xa0-\xbf][\x80-\xbf])")


class Decoder:
    """Decodes UTF-8 in chunks. Invalid bytes become `\\xNN`; encoded surrogates become surrogates."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes, *, final: bool = False) -> str:
        data = self._held + data
        whole = len(data) if final else len(data) - _incomplete_bytes(data)
        self._held = data[whole:]
        # Every second part is a surrogate. A handler in Python would be called for each byte of a flood of invalid
        # ones.
        parts = _SURROGATE.split(data[:whole])
        parts_as_text = (
            part.decode("utf-8", "surrogatepass" if place % 2 else "backslashreplace")
            for place, part in enumerate(parts)
        )
        return "".join(parts_as_text)

    def held(self) -> bytes:
        """Returns and clears the incomplete character at the end of the input."""
        held, self._held = self._held, b""
        return held


def _incomplete_bytes(data: bytes) -> int:
    """Returns the number of bytes at the end that begin an incomplete character."""
    for count, byte in enumerate(reversed(data[-3:]), start=1):
        if byte >= 0xC0:
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return count if count < length else 0
        if byte < 0x80:
            break
    return 0


class Output:
    def __init__(self, *, limit: int) -> None:
        self.chars = 0
        self._decoder = Decoder()
        self._head_left = limit - limit // 2
        self._tail_limit = limit // 2
        self._tail: deque[bytes] = deque()
        self._tail_size = 0

    def feed(self, data: bytes, *, final: bool = False) -> str:
        """Adds data. Returns the part that belongs to the head."""
        if self._head_left == 0:
            self.chars += len(data.translate(None, _CONTINUATION))
            self._keep(data)
            return ""
        text = self._decoder.feed(data, final=final)
        self.chars += len(text)
        head, rest = text[: self._head_left], text[self._head_left :]
        self._head_left -= len(head)
        if rest:
            self._keep(rest.encode("utf-8", "surrogatepass"))
        if self._head_left == 0:
            self._keep(self._decoder.held())
        return head

    def _keep(self, data: bytes) -> None:
        if not data:
            return
        self._tail.append(data)
        self._tail_size += len(data)
        # A character has at most four bytes. One more, because the first byte kept may lie inside a character.
        while self._tail_size - len(self._tail[0]) > 4 * (self._tail_limit + 1):
            self._tail_size -= len(self._tail.popleft())

    def tail(self) -> str:
        """Returns the kept end of the output. Called after the last byte."""
        text = Decoder().feed(b"".join(self._tail), final=True)
        return text[-self._tail_limit :] if self._tail_limit else ""
