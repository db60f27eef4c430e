"""The REPL child's connection to its supervisor, and where an interrupt may end a wait on it."""

from __future__ import annotations

import select
import socket
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from signal import SIG_UNBLOCK, SIGINT, pthread_sigmask
from signal import signal as set_handler
from socket import recv_fds
from threading import Lock, get_ident

from .wire import Frame, LineEnded, Mailboxes, Splitter, encode, parse

MAIN = -1
"""The mailbox of the REPL itself. The mailboxes of batches are named by their numbers."""


class Interrupts:
    """The handler of SIGINT: it raises KeyboardInterrupt where interrupts are allowed, and defers it elsewhere."""

    def __init__(self) -> None:
        self._allowed = False
        self._pending = False
        self._thread = get_ident()

    def handle(self, *_: object) -> None:
        if self._allowed:
            raise KeyboardInterrupt
        self._pending = True

    def arm(self) -> None:
        """Prepares for a cell: forgets a late signal for the last one, and replaces the handler that a
        cell set.
        """
        self._pending = False
        set_handler(SIGINT, self.handle)
        pthread_sigmask(SIG_UNBLOCK, {SIGINT})

    @contextmanager
    def allowed(self) -> Iterator[None]:
        with self._set(True):
            yield

    @contextmanager
    def held(self) -> Iterator[None]:
        with self._set(False):
            yield

    @contextmanager
    def _set(self, allowed: bool) -> Iterator[None]:
        if get_ident() != self._thread:  # only the main thread receives signals
            yield
            return
        before = self._allowed
        try:
            self._switch(allowed)
            yield
        finally:
            self._switch(before)

    def _switch(self, allowed: bool) -> None:
        self._allowed = allowed
        if allowed and self._pending:
            self._pending = self._allowed = False
            raise KeyboardInterrupt


class Line:
    """The REPL's end of the socket to the supervisor. Thread-safe."""

    def __init__(self, control: socket.socket, *, interrupts: Interrupts) -> None:
        self._control = control
        self._interrupts = interrupts
        self._splitter = Splitter()
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)
        self._sending = Lock()
        self._mailboxes = Mailboxes(
            receive=self._receive,
            address=lambda frame: frame.get("batch", MAIN),
            blocking=self._interruptible,
        )
        self.fds: deque[int] = deque()
        self.in_cell = False
        self.wait = self._mailboxes.wait
        self.forget = self._mailboxes.forget

    def send(self, *frames: Frame) -> None:
        with self._sending:
            self._control.sendall(b"".join(map(encode, frames)))

    def close(self) -> None:
        self._control.close()

    def _receive(self, timeout: float | None) -> list[Frame]:
        with self._interruptible():
            self._poll.poll()  # nothing is lost if a signal handler raises here
        try:
            data, fds, _, _ = recv_fds(self._control, 2**20, 4)
        except OSError as error:
            raise LineEnded from error
        self.fds.extend(fds)
        if not data:
            raise LineEnded
        return [parse(body) for body in self._splitter.feed(data)]

    def _interruptible(self) -> AbstractContextManager[None]:
        return self._interrupts.allowed() if self.in_cell else nullcontext()
