"""The first process of a box: one loop that passes frames between the host and the REPLs, and keeps the time.

It runs no user code and trusts no REPL. It ends, and the box with it, when the host closes the connection, when
its lifetime is over, or when the host breaks the protocol.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import sys
import time
from collections import deque
from collections.abc import Callable

from . import kernel
from .config import Config
from .repl_process import ReplProcess
from .wire import Frame, Splitter, encode, parse

_CHUNK = 65536
_UNSENT_LIMIT = 4 * 2**20
"""The number of unsent bytes to the host above which the REPLs must wait."""
_MAX_REPLS = 16


class Supervisor:
    def __init__(self, config: Config) -> None:
        self.config = config
        self._ends_at = time.monotonic() + config.lifetime_seconds
        self._selector = selectors.DefaultSelector()
        self._unsent: deque[bytes] = deque()
        self._unsent_size = 0
        self._congested = False
        self._splitter = Splitter()
        self._repls: dict[int, ReplProcess] = {}
        self._wakeup, self._wakeup_in = os.pipe()

    # -- the loop

    def run(self) -> None:
        for fd in (0, 1, self._wakeup, self._wakeup_in):
            os.set_blocking(fd, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wakeup_in, warn_on_full_buffer=False)
        self.watch(0, self._hear_host)
        self.watch(self._wakeup, self._reap)
        self._open(0)
        while True:
            for key, _ in self._selector.select(self._time_left()):
                if key.fd in self._selector.get_map():  # an earlier callback may have closed it
                    key.data()
            now = time.monotonic()
            for repl in self._repls.values():
                repl.keep_time(now)
            if now >= self._ends_at:
                raise EOFError("the lifetime is over")

    def _time_left(self) -> float:
        due = min([self._ends_at, *(repl.due for repl in self._repls.values())])
        return max(0.0, due - time.monotonic())

    def watch(self, fd: int, callback: Callable[[], None], *, events: int = selectors.EVENT_READ) -> None:
        if fd in self._selector.get_map():
            self._selector.modify(fd, events, callback)
        else:
            self._selector.register(fd, events, callback)

    def unwatch(self, fd: int) -> None:
        with contextlib.suppress(KeyError):
            self._selector.unregister(fd)

    # -- the host

    def _hear_host(self) -> None:
        try:
            data = os.read(0, _CHUNK)
        except BlockingIOError:
            return
        if not data:
            raise EOFError("the host closed the line")
        for body in self._splitter.feed(data):
            self._obey(parse(body), body)

    def _obey(self, frame: Frame, body: bytes) -> None:
        kind = frame["t"]
        if kind == "ping":
            self.tell({"t": "pong"})
            return
        number = int(frame["repl"])
        if kind == "open":
            self._open(number)
        elif number in self._repls:
            repl = self._repls[number]
            if kind == "shut":
                repl.shut()
                del self._repls[number]
            else:
                repl.obey(frame, body)

    def _open(self, number: int) -> None:
        if number in self._repls or len(self._repls) >= _MAX_REPLS:
            self.tell({"t": "stale", "repl": number, "reason": f"more than {_MAX_REPLS} REPLs in a box"})
            return
        repl = self._repls[number] = ReplProcess(number=number, supervisor=self)
        repl.start()

    def tell(self, *frames: Frame) -> None:
        data = b"".join(map(encode, frames))
        self._unsent.append(data)
        self._unsent_size += len(data)
        self._send()

    def _send(self) -> None:
        while self._unsent:
            data = self._unsent[0]
            try:
                sent = os.write(1, data)
            except BlockingIOError:
                break
            self._unsent_size -= sent
            if sent < len(data):
                self._unsent[0] = data[sent:]
            else:
                self._unsent.popleft()
        if self._unsent:
            self.watch(1, self._send, events=selectors.EVENT_WRITE)
        else:
            self.unwatch(1)
        self._throttle()

    def _throttle(self) -> None:
        """Makes the REPLs wait for a host that reads slowly, so that this process does not grow."""
        congested = self._unsent_size > _UNSENT_LIMIT
        if congested != self._congested:
            self._congested = congested
            for repl in self._repls.values():
                repl.listen(not congested)

    # -- processes

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wakeup, _CHUNK)
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for repl in self._repls.values():
                if repl.pid == pid:
                    repl.handle_death(status, usage)

    def hold_host(self, hold: bool) -> None:
        """Stops or resumes reading from the host, so that data for a REPL that is slow to set up waits outside."""
        if hold:
            self.unwatch(0)
        else:
            self.watch(0, self._hear_host)

    def other_repls(self, repl: ReplProcess) -> set[int]:
        return {other.pid for other in self._repls.values() if other is not repl and other.pid}

    def end_everything(self) -> None:
        for repl in self._repls.values():
            repl.kill()


def main() -> None:
    """Runs the supervisor. The last argument is the configuration; standard input and output connect to
    the host.
    """
    config = Config(**json.loads(sys.argv[-1]))
    kernel.hide_from_same_user()
    kernel.adopt_orphans()
    # The first process of a container gets only signals that it handles, so no REPL can end it with these two.
    for number in (signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    supervisor = Supervisor(config)
    try:
        supervisor.run()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass
    finally:
        supervisor.end_everything()
