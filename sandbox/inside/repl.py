"""The REPL child: keeps one namespace, runs the cells that the supervisor sends, and says what each one did.

User code shares this process and can break anything in it; then the child is lost and started again. What is
defended here is that ordinary havoc (replaced builtins, closed streams, a trace function, a stopped clock)
does not cost the state. Signals interrupt user code only, never the REPL's own work.
"""

from __future__ import annotations

import _thread
import builtins
import contextlib
import io
import os
import select
import signal
import socket
import sys
import threading
import types
from collections import deque
from collections.abc import Iterator
from os import _exit, getpid
from typing import NoReturn

from . import cell, kernel, variables
from .llm import LlmBatch
from .wire import Frame, LineEnded, Mailboxes, Splitter, encode, parse, pieces

_MAIN = -1
"""The mailbox of the REPL itself; those of batches have their numbers."""

# Held on to here, as a cell may replace them where they come from.
_settrace, _setprofile, _setrecursionlimit = sys.settrace, sys.setprofile, sys.setrecursionlimit
_RECURSION_LIMIT = sys.getrecursionlimit()
_builtins = vars(builtins)
_BUILTINS = dict(_builtins)


class Interrupts:
    """SIGINT raises KeyboardInterrupt where that is allowed, and waits until it is where it is not."""

    def __init__(self) -> None:
        self._allowed = False
        self._pending = False
        self._thread = threading.get_ident()

    def handle(self, *_: object) -> None:
        if self._allowed:
            self._allowed = False
            raise KeyboardInterrupt
        self._pending = True

    def arm(self) -> None:
        """Before each cell: a late signal for the last one is forgotten, a cell's own handler replaced."""
        self._pending = False
        signal.signal(signal.SIGINT, self.handle)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    @contextlib.contextmanager
    def allowed(self) -> Iterator[None]:
        with self._set(True):
            yield

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        with self._set(False):
            yield

    @contextlib.contextmanager
    def _set(self, allowed: bool) -> Iterator[None]:
        if threading.get_ident() != self._thread:  # signals come to the main thread only
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
    """The REPL's side of the socket to the supervisor; for several threads."""

    def __init__(self, control: socket.socket, *, interrupts: Interrupts) -> None:
        self._control = control
        self._interrupts = interrupts
        self._splitter = Splitter()
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)
        self._sending = threading.Lock()
        self._mailboxes = Mailboxes(
            receive=self._receive,
            address=lambda frame: frame.get("batch", _MAIN),
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
            self._poll.poll()  # nothing is lost when a signal's handler raises here
        try:
            data, fds, _, _ = socket.recv_fds(self._control, 2**20, 4)
        except OSError as error:
            raise LineEnded from error
        self.fds.extend(fds)
        if not data:
            raise LineEnded
        return [parse(body) for body in self._splitter.feed(data)]

    def _interruptible(self) -> contextlib.AbstractContextManager[None]:
        return self._interrupts.allowed() if self.in_cell else contextlib.nullcontext()


class Stream(io.TextIOWrapper):
    """A cell's stdout or stderr. Threads that an earlier cell left behind print to nowhere."""

    strangers: set[int | None]

    def write(self, text: str) -> int:
        if self.strangers and threading.get_native_id() in self.strangers:
            return len(text)
        return super().write(text)


class Repl:
    def __init__(self, control: socket.socket) -> None:
        self.pid = os.getpid()
        self.interrupts = Interrupts()
        self.line = Line(control, interrupts=self.interrupts)
        self.namespace: dict[str, object] = {}
        self.is_rlm = False
        self.llm_batch = LlmBatch(self.line, interrupts=self.interrupts)
        self._texts: dict[str, list[str]] = {}
        self._strangers: set[int | None] = set()
        self._answer = ""
        os.register_at_fork(after_in_child=self._forked)

    def _forked(self) -> None:
        # A process that the cell forks must neither speak for the REPL nor hold its line open.
        self.line.close()

    def serve(self) -> None:
        self.line.send({"t": "up"})
        while True:
            frame = self.line.wait(_MAIN)
            kind = frame["t"]
            if kind == "reset":
                self._texts.clear()
            elif kind == "text":
                self._texts.setdefault(frame["slot"], []).append(frame["text"])
            elif kind == "setup":
                self._set_up(is_rlm=frame["rlm"])
            elif kind == "run":
                self._run(frame)

    def _text(self, slot: str) -> str:
        return "".join(self._texts.pop(slot, ()))

    def _set_up(self, *, is_rlm: bool) -> None:
        module = types.ModuleType("__main__")
        sys.modules["__main__"] = module
        self.namespace = vars(module)
        self.namespace["__builtins__"] = builtins
        self.is_rlm = is_rlm
        self._answer = self._text("answer")
        for slot in list(self._texts):
            self.namespace[slot.partition(":")[2]] = self._text(slot)
        if is_rlm:
            self.namespace["answer"] = {"content": self._answer, "ready": False}
            self.namespace["llm_batch"] = self.llm_batch
        self.line.send({"t": "set"})

    # -- one cell

    def _run(self, frame: Frame) -> None:
        self._connect_streams(self.line.fds.popleft())
        code = self._text("code") + frame["code"]
        self.llm_batch.open(has_host=frame["sub_llms"])
        threads = _thread._count()
        self._strangers.clear()
        if threads > 0:
            self._strangers.update(one.native_id for one in threading.enumerate())
            self._strangers.discard(threading.get_native_id())
        self.interrupts.arm()
        self.line.in_cell = True
        outcome = cell.run(
            code,
            name=f"<cell {frame['number']}>",
            namespace=self.namespace,
            allowed=self.interrupts.allowed,
        )
        _settrace(None)
        _setprofile(None)
        _builtins.update(_BUILTINS)
        if getpid() != self.pid:  # a fork of the cell's came back here
            _exit(0)
        self.line.in_cell = False
        with contextlib.suppress(Exception):
            _setrecursionlimit(_RECURSION_LIMIT)
        self.llm_batch.shut()
        self._flush_streams()
        self._report(outcome, new_threads=_thread._count() - threads)

    def _connect_streams(self, pipe: int) -> None:
        os.dup2(pipe, 1)
        os.dup2(pipe, 2)
        os.close(pipe)
        self._stdout = self._connected("_stdout", 1)
        self._stderr = self._connected("_stderr", 2)
        sys.stdout = sys.__stdout__ = self._stdout  # type: ignore[misc]
        sys.stderr = sys.__stderr__ = self._stderr  # type: ignore[misc]

    def _connected(self, name: str, fd: int) -> Stream:
        """The stream of before, as user code may hold on to it; a new one if it was closed."""
        stream: Stream | None = getattr(self, name, None)
        if stream is None or stream.closed:
            raw = io.FileIO(fd, "wb", closefd=False)
            # Unbuffered, so that the order with what subprocesses and os.write print is the true one.
            stream = Stream(raw, encoding="utf-8", errors="surrogatepass", newline="\n", write_through=True)
            stream.strangers = self._strangers
        return stream

    def _flush_streams(self) -> None:
        for stream in (self._stdout, self._stderr):
            with contextlib.suppress(Exception):
                stream.flush()

    def _report(self, outcome: cell.Outcome, *, new_threads: int) -> None:
        namespace = self.namespace
        content, ready = None, False
        if self.is_rlm:
            said = cell.guarded(lambda: cell.read_answer(namespace.get("answer")), self.interrupts.allowed)
            content, ready = said or (None, False)
            self._answer = self._answer if content is None else content
        hidden = {"answer", "llm_batch"} if self.is_rlm else set()
        table = cell.guarded(lambda: variables.table(namespace, hidden=hidden), self.interrupts.allowed)
        *front, last = pieces(self._answer)
        self.line.send(
            *({"t": "piece", "text": piece} for piece in front),
            {
                "t": "done",
                "out": outcome.out,
                "error": outcome.error,
                "answer": last if self.is_rlm else None,
                "ready": ready,
                "variables": table or [],
                "threads": max(0, new_threads),
            },
        )


def live(control: socket.socket, *, memory_mb: int) -> NoReturn:
    """The whole life of the child, just forked. Ends the process."""
    try:
        _leave_the_supervisor(control)
        if memory_mb:
            kernel.limit_memory(memory_mb)
        kernel.become_expendable()
        Repl(control).serve()
    except BaseException as error:  # a cell broke what the REPL stands on; or the supervisor has ended
        with contextlib.suppress(BaseException):
            control.sendall(encode({"t": "broke", "error": repr(error)[:1000]}))
    finally:
        _exit(70)


def _leave_the_supervisor(control: socket.socket) -> None:
    """Own session, default signals, and no file but the line to the supervisor."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # as in every Python
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    kept = control.fileno()
    os.closerange(3, kept)
    os.closerange(kept + 1, os.sysconf("SC_OPEN_MAX") if os.sysconf("SC_OPEN_MAX") < 2**16 else 2**16)
    sys.argv = [""]
    sys.path.insert(0, "")
