"""A cell's output as the supervisor keeps it: bytes in, text out; the head goes on at once, the tail is kept.

The first half of the allowed characters is passed on as it comes. Of the rest only the last half is held, and
passed on at the end. Invalid bytes become `\\xNN`, encoded surrogates the surrogates that they were.
"""

from __future__ import annotations

import codecs
from collections import deque
from typing import cast

HANDLER = "rlm-surrogates-or-escapes"


def _surrogates_or_escapes(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    try:
        shown, end = codecs.lookup_error("surrogatepass")(error)
        return cast(str, shown), end
    except UnicodeError:
        bad = error.object[error.start : error.end]
        return "".join(f"\\x{byte:02x}" for byte in bad), error.end


codecs.register_error(HANDLER, _surrogates_or_escapes)


class Output:
    def __init__(self, *, limit: int) -> None:
        self.chars = 0
        self._decode = codecs.getincrementaldecoder("utf-8")(HANDLER).decode
        self._head_left = limit - limit // 2
        self._tail_limit = limit // 2
        self._tail: deque[str] = deque()
        self._tail_chars = 0

    def feed(self, data: bytes, *, final: bool = False) -> str:
        """What of it belongs to the head, to be passed on now."""
        text = self._decode(data, final)
        self.chars += len(text)
        head, rest = text[: self._head_left], text[self._head_left :]
        self._head_left -= len(head)
        if rest:
            self._keep(rest)
        return head

    def _keep(self, text: str) -> None:
        self._tail.append(text)
        self._tail_chars += len(text)
        while self._tail_chars - len(self._tail[0]) >= self._tail_limit:
            self._tail_chars -= len(self._tail.popleft())

    def tail(self) -> str:
        """What is left to pass on after the last byte."""
        text = "".join(self._tail)
        return text[-self._tail_limit :] if self._tail_limit else ""
