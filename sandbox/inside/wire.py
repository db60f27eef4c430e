"""Frames: the messages between host, supervisor and REPL.

A frame is a JSON object in ASCII after a four-byte big-endian length. In ASCII, NUL, lone surrogates and control
characters survive as escapes. The length is limited, which bounds the memory that a peer can claim; a longer text
travels in pieces.
"""

from __future__ import annotations

import json
import struct
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager, nullcontext

TYPE_CHECKING = False  # replaces `typing.TYPE_CHECKING`, whose import takes a tenth of a sandbox's start
if TYPE_CHECKING:
    from typing import Any

    Frame = dict[str, Any]
else:
    Frame = dict

MAX_FRAME = 2**20
PIECE_CHARS = 64_000
"""The maximum length of a frame's text, in characters. One takes at most 12 bytes (an escaped surrogate pair)."""

_LENGTH = struct.Struct(">I")
_MAX_DIGITS = 20


class WireError(Exception):
    """The peer sent an invalid frame, or one that it may not send."""


class LineEnded(Exception):
    """The peer will send nothing more."""


def _bounded_int(digits: str) -> int:
    # Older Pythons convert millions of digits in quadratic time.
    if len(digits) > _MAX_DIGITS:
        raise WireError("a number with too many digits")
    return int(digits)


def _no_constant(name: str) -> float:
    raise WireError(f"{name} is not a number")


_decode = json.JSONDecoder(parse_int=_bounded_int, parse_constant=_no_constant).decode
_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), check_circular=False).encode


def encode(frame: Frame) -> bytes:
    return enclose(_encode(frame).encode("ascii"))


def enclose(body: bytes) -> bytes:
    if len(body) > MAX_FRAME:
        raise WireError(f"a frame of {len(body)} bytes; at most {MAX_FRAME} are allowed")
    return _LENGTH.pack(len(body)) + body


def parse(body: bytes) -> Frame:
    try:
        frame = _decode(body.decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise WireError("not JSON in ASCII") from error
    if type(frame) is not dict or type(frame.get("t")) is not str:
        raise WireError("not a frame: an object with a type is needed")
    return frame


def pieces(text: str) -> list[str]:
    """Returns `text` in pieces that fit a frame; at least one."""
    if len(text) <= PIECE_CHARS:
        return [text]
    return [text[start : start + PIECE_CHARS] for start in range(0, len(text), PIECE_CHARS)]


class Splitter:
    """A splitter of a stream of bytes into frame bodies."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        buffer = self._buffer
        buffer += data
        bodies = []
        start = 0
        while len(buffer) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(buffer, start)
            if length > MAX_FRAME:
                raise WireError(f"a frame of {length} bytes announced; at most {MAX_FRAME} are allowed")
            end = start + _LENGTH.size + length
            if len(buffer) < end:
                break
            bodies.append(bytes(buffer[start + _LENGTH.size : end]))
            start = end
        del buffer[:start]
        return bodies


class Mailboxes:
    """Mailboxes of threads that wait for frames of one stream. One waiting thread reads for all of them.

    Without a reader thread, a lone waiter gets its frame without a thread switch. `receive(timeout)` returns
    frames, none after the timeout, and raises LineEnded or WireError when the stream ends. `address` returns the
    mailbox of a frame. `blocking` wraps the wait.
    """

    def __init__(
        self,
        *,
        receive: Callable[[float | None], list[Frame]],
        address: Callable[[Frame], Hashable],
        blocking: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._receive = receive
        self._address = address
        self._blocking = blocking
        self._boxes: defaultdict[Hashable, deque[Frame]] = defaultdict(deque)
        self._turn = threading.Condition()
        self._reading = False
        self._broken: Exception | None = None

    def wait(self, address: Hashable, *, timeout: float | None = None) -> Frame:
        """Returns the next frame for `address`. Raises TimeoutError after the timeout, and EOFError if none can
        come.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._turn:
            while not self._boxes[address]:
                if self._broken is not None:
                    raise EOFError(str(self._broken) or "the stream ended") from self._broken
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError
                if self._reading:
                    with self._blocking():
                        self._turn.wait(left)
                else:
                    self._read_for_all(left)
            return self._boxes[address].popleft()

    def forget(self, address: Hashable) -> None:
        with self._turn:
            self._boxes.pop(address, None)

    def _read_for_all(self, timeout: float | None) -> None:
        self._reading = True
        self._turn.release()
        frames: list[Frame] = []
        broken: Exception | None = None
        try:
            frames = self._receive(timeout)
        except (LineEnded, WireError) as error:
            broken = error
        finally:
            self._turn.acquire()
            self._reading = False
            self._broken = self._broken or broken
            for frame in frames:
                self._boxes[self._address(frame)].append(frame)
            self._turn.notify_all()
