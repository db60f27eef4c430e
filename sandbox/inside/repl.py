"""The REPL child: it keeps one namespace, runs the supervisor's cells and reports their results.

User code shares this process and can break anything in it; a broken child is replaced. The REPL protects its state
against ordinary accidents: replaced builtins, closed streams, a trace function, a stopped clock. Signals interrupt
user code only, never the REPL's own work.
"""

from __future__ import annotations

import _thread
import builtins
import io
import os
import signal
import socket
import sys
import types
from contextlib import AbstractContextManager, suppress

# Imported by name, because a cell may replace attributes of these modules.
from fcntl import F_DUPFD_CLOEXEC, fcntl
from io import FileIO
from os import O_RDONLY, _exit, close, dup2, getpid
from os import open as os_open
from sys import setprofile as _setprofile
from sys import setrecursionlimit as _setrecursionlimit
from sys import settrace as _settrace
from threading import RLock, get_native_id
from threading import enumerate as all_threads

from . import cell, kernel, variables
from .coroutines import Coroutines
from .line import MAIN, Interrupts, Line
from .llm import LlmBatch
from .wire import Frame, encode, pieces

TYPE_CHECKING = False  # replaces `typing.TYPE_CHECKING`, whose import takes a tenth of a sandbox's start
if TYPE_CHECKING:
    from typing import NoReturn


_RECURSION_LIMIT = sys.getrecursionlimit()
_builtins = vars(builtins)
_BUILTINS = dict(_builtins)


class Stream(io.TextIOWrapper):
    """A cell's stdout or stderr. The output of threads that an earlier cell left behind is dropped."""

    strangers: set[int | None]
    switching: AbstractContextManager[bool]

    def write(self, text: str) -> int:
        with self.switching:  # the writer and the target must not change between the check and the write
            if self.strangers and get_native_id() in self.strangers:
                return len(text)
            return super().write(text)


class Repl:
    def __init__(self, control: socket.socket, *, memory_mb: int) -> None:
        self._memory_mb = memory_mb
        self._on_reserve = False
        self.pid = os.getpid()
        self.interrupts = Interrupts()
        self.line = Line(control, interrupts=self.interrupts)
        self.namespace: dict[str, object] = {}
        self.is_rlm = False
        self.llm_batch = LlmBatch(self.line, interrupts=self.interrupts)
        self._texts: dict[str, list[str]] = {}
        self._strangers: set[int | None] = set()
        self._switching = RLock()
        self._stdout: Stream | None = None
        self._stderr: Stream | None = None
        self._answer = ""
        self._coroutines = Coroutines()
        os.register_at_fork(after_in_child=self._after_fork)

    def _after_fork(self) -> None:
        # A process that the cell forks must neither speak for the REPL nor hold its connection open.
        self.line.close()
        self._switching = RLock()
        for stream in (self._stdout, self._stderr):
            if stream is not None:
                stream.switching = self._switching

    def serve(self) -> None:
        if self._memory_mb:
            kernel.limit_memory(self._memory_mb, reserve=False)
        self.line.send({"t": "up"})
        while True:
            frame = self.line.wait(MAIN)
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
        threads = _thread._count()
        self._connect_streams(self.line.fds.popleft())
        reserve = os_open("/dev/null", O_RDONLY)  # reserves a descriptor for the next cell's pipe
        code = self._text("code") + frame["code"]
        self.llm_batch.open(cell=frame["number"], has_host=frame["sub_llms"])
        self.namespace["__builtins__"] = builtins
        self.interrupts.arm()
        self.line.in_cell = True
        outcome = cell.run(
            code,
            name=f"<cell {frame['number']}>",
            namespace=self.namespace,
            allowed=self.interrupts.allowed,
            coroutines=self._coroutines,
        )
        _settrace(None)
        _setprofile(None)
        _builtins.update(_BUILTINS)
        if getpid() != self.pid:  # a fork made by the cell returned here
            _exit(0)
        self.line.in_cell = False
        with suppress(Exception):
            _setrecursionlimit(_RECURSION_LIMIT)
        self.llm_batch.shut()
        self._flush_streams()
        with suppress(OSError):
            close(reserve)
        self._report(outcome, number=frame["number"], new_threads=_thread._count() - threads)
        if self._memory_mb:
            self._ration_memory(ran_out=outcome.error is not None and outcome.error["type"] == "MemoryError")

    def _ration_memory(self, *, ran_out: bool) -> None:
        """Gives the next cell a reserve to free memory with, after a cell that ran out of it.

        Raises MemoryError, which ends the state, if that cell runs out as well.
        """
        if ran_out and self._on_reserve:
            raise MemoryError("no memory was left, and none was set free")
        self._on_reserve = ran_out
        kernel.limit_memory(self._memory_mb, reserve=ran_out)

    def _connect_streams(self, pipe: int) -> None:
        """Connects the new cell's output to its pipe, and that of older threads to nowhere."""
        if pipe <= 2:  # the last cell closed its own
            pipe = fcntl(pipe, F_DUPFD_CLOEXEC, 3)
        with self._switching:
            self._strangers.clear()
            if _thread._count() > 0:
                self._strangers.update(one.native_id for one in all_threads())
                self._strangers.discard(get_native_id())
            dup2(pipe, 1)
            dup2(pipe, 2)
        close(pipe)
        self._stdout = self._open_stream(self._stdout, 1)
        self._stderr = self._open_stream(self._stderr, 2)
        sys.stdout = sys.__stdout__ = self._stdout  # type: ignore[misc]
        sys.stderr = sys.__stderr__ = self._stderr  # type: ignore[misc]

    def _open_stream(self, stream: Stream | None, fd: int) -> Stream:
        """Returns the existing stream, because user code may hold it; a new one if it was closed or detached."""
        with suppress(ValueError):
            if stream is not None and not stream.closed:
                return stream
        raw = FileIO(fd, "wb", closefd=False)
        # Unbuffered, to keep the true order with the output of subprocesses and os.write.
        stream = Stream(raw, encoding="utf-8", errors="surrogatepass", newline="\n", write_through=True)
        stream.strangers = self._strangers
        stream.switching = self._switching
        return stream

    def _flush_streams(self) -> None:
        for stream in (self._stdout, self._stderr):
            with suppress(Exception):
                stream.flush()  # type: ignore[union-attr]

    def _report(self, outcome: cell.Outcome, *, number: int, new_threads: int) -> None:
        namespace = self.namespace
        rebound = self._restore_answer() if self.is_rlm else ""
        ready = self._read_answer() if self.is_rlm else False
        hidden = {"answer", "llm_batch"} if self.is_rlm else set()
        table = cell.guarded(lambda: variables.table(namespace, hidden=hidden), self.interrupts.allowed)
        *front, last = pieces(self._answer)
        self.line.send(
            *({"t": "piece", "text": piece} for piece in front),
            {
                "t": "done",
                "number": number,
                "out": outcome.out,
                "error": outcome.error,
                "answer": last if self.is_rlm else None,
                "ready": ready,
                "rebound": rebound,
                "repairs": outcome.repairs,
                "variables": table or [],
                "threads": max(0, new_threads),
            },
        )

    def _restore_answer(self) -> str:
        """Restores the last `answer` if the cell bound the name to something else. Returns the type of that value.

        A model that continues with `answer["content"] = …` would otherwise fail or be ignored.
        """
        if "answer" not in self.namespace:
            found = "nothing"
        else:
            kind = type(self.namespace["answer"])
            if issubclass(kind, dict):  # isinstance would run code of the answer
                return ""
            found = cell.type_name(kind)
        self.namespace["answer"] = {"content": self._answer, "ready": False}
        return found

    def _read_answer(self) -> bool:
        """Returns whether `answer` is ready. An unreadable `answer` is replaced by the last one."""
        answer = self.namespace.get("answer")
        said = cell.guarded(lambda: cell.read_answer(answer), self.interrupts.allowed)
        if said is None:
            self.namespace["answer"] = {"content": self._answer, "ready": False}
            return False
        content, ready = said
        self._answer = self._answer if content is None else content
        return ready


def live(control: socket.socket, *, memory_mb: int) -> NoReturn:
    """Runs a newly forked child for its whole life, then ends the process."""
    try:
        _leave_the_supervisor(control)
        kernel.become_expendable()
        Repl(control, memory_mb=memory_mb).serve()
    except BaseException as error:  # a cell broke what the REPL depends on, or the supervisor has ended
        with suppress(BaseException):
            control.sendall(encode({"t": "broke", "error": repr(error)[:1000]}))
    finally:
        _exit(70)


def _leave_the_supervisor(control: socket.socket) -> None:
    """Detaches from the supervisor: own session, default signals, no open file but the connection to it."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # as in every Python process
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    kept = control.fileno()
    os.closerange(3, kept)
    os.closerange(kept + 1, os.sysconf("SC_OPEN_MAX") if os.sysconf("SC_OPEN_MAX") < 2**16 else 2**16)
    sys.argv = [""]
    sys.path.insert(0, "")
