"""A box: one supervisor at the other end of a transport, with frames in both directions.

Both backends share this module. They differ in how a box starts and ends, which is their `Transport`.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Protocol

from sandbox.contract import SandboxError
from sandbox.inside.wire import Frame, LineEnded, Mailboxes, Splitter, encode, parse

from .inside import frame_checks

ARGUMENTS = ("-s", "-c", "import sys; sys.path[0] = sys.argv[1]; from inside.supervisor import main; main()")
"""Arguments of Python, followed by the folder above `inside` and the configuration."""

ENVIRONMENT = {"PYTHONHASHSEED": "0"}
"""Environment variables. The fixed hash seed gives sets of strings the same order in every sandbox, so that a
replay takes the same path.
"""

_CHUNK = 2**18
_SEND_SECONDS = 10
_PONG = "pong"


class Transport(Protocol):
    """The connection to a supervisor, and the handle on the container or process that holds it."""

    name: str

    def fileno(self) -> int: ...

    def send(self, data: bytes) -> None:
        """Sends all data. Raises OSError if the connection is dead or has not moved for some seconds."""

    def receive(self) -> bytes:
        """Returns new data of the supervisor's standard output. Returns b"" or raises OSError at its end."""

    def close(self, *, kill: bool) -> None:
        """Ends the box without waiting. With `kill`, the box gets no chance to end by itself."""

    def last_words(self) -> str:
        """Returns the supervisor's standard error, for the error message."""


def make_impatient(line: socket.socket) -> None:
    """Makes a send fail if it does not move for some seconds, so that a hung box cannot block the host."""
    with contextlib.suppress(OSError):
        line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", _SEND_SECONDS, 0))


class Box:
    def __init__(self, transport: Transport, *, ends_at: float, on_close: Callable[[Box], None]) -> None:
        self.started_at = time.monotonic()
        self.ends_at = ends_at
        self.name = transport.name
        self._transport = transport
        self._on_close = on_close
        self._poll = select.poll()  # select.select fails above 1024 open files
        self._poll.register(transport.fileno(), select.POLLIN)
        self._splitter = Splitter()
        self._sending = threading.Lock()
        self._closing = threading.Lock()
        self._closed = False
        self._repls = 0
        self._mailboxes = Mailboxes(receive=self._receive, address=lambda frame: frame.get("repl", _PONG))

    def await_ready(self, *, timeout: float) -> None:
        try:
            frame = self.wait(0, timeout=timeout)
        except (EOFError, TimeoutError) as error:
            words = self._transport.last_words().strip()
            self.close(kill=True)
            why = "did not answer in time" if isinstance(error, TimeoutError) else "ended at once"
            raise SandboxError(f"sandbox {self.name} {why}{': ' + words if words else ''}") from error
        if frame["t"] != "ready":
            self.close(kill=True)
            raise SandboxError(f"sandbox {self.name} began with a frame of type {frame['t']!r}")

    def send(self, *frames: Frame) -> None:
        """Sends frames. Raises OSError if the box is gone."""
        data = b"".join(map(encode, frames))
        with self._sending:
            self._transport.send(data)

    def wait(self, repl: int, *, timeout: float) -> Frame:
        """Returns the next frame of one REPL. Raises TimeoutError, or EOFError if the box is gone or broke the
        protocol.
        """
        return self._mailboxes.wait(repl, timeout=timeout)

    def open_repl(self, *, timeout: float) -> int:
        """Opens another REPL in this box, a process with its own namespace behind the same walls. Returns its
        number.
        """
        with self._sending:
            self._repls += 1
            number = self._repls
        try:
            self.send({"t": "open", "repl": number})
            frame = self.wait(number, timeout=timeout)
        except (OSError, EOFError) as error:
            raise SandboxError(f"no further REPL could be opened: {error}") from error
        if frame["t"] != "ready":
            raise SandboxError(f"no further REPL could be opened: {frame.get('reason', frame['t'])}")
        return number

    def shut_repl(self, number: int) -> None:
        with contextlib.suppress(OSError):
            self.send({"t": "shut", "repl": number})
        self._mailboxes.forget(number)

    def is_alive(self, *, timeout: float) -> bool:
        try:
            self.send({"t": "ping"})
            self._mailboxes.wait(_PONG, timeout=timeout)
        except (OSError, EOFError):  # TimeoutError is an OSError
            return False
        return not self._closed

    def last_words(self) -> str:
        return self._transport.last_words().strip()

    def close(self, *, kill: bool = False) -> None:
        with self._closing:
            if self._closed:
                return
            self._closed = True
        self._transport.close(kill=kill)
        self._on_close(self)

    def _receive(self, timeout: float | None) -> list[Frame]:
        if not self._poll.poll(None if timeout is None else timeout * 1000):
            return []
        try:
            data = self._transport.receive()
        except OSError as error:
            raise LineEnded(str(error)) from error
        if not data:
            raise LineEnded("it ended")
        bodies = self._splitter.feed(data)
        return [frame_checks.check(parse(body), frame_checks.FROM_BOX) for body in bodies]
