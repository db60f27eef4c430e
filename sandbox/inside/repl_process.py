"""One REPL child from the supervisor's side: started, fed, timed, measured, interrupted, killed, restarted.

The child is trusted only for its cells' results, which their code could have forged anyway. Time, memory, output
and processes are measured from outside.
"""

from __future__ import annotations

import contextlib
import os
import resource
import selectors
import signal
import socket
import time
from collections import deque

from . import frame_checks, kernel, repl
from .running_cell import CHUNK, INTERRUPTS, NEVER, NOTHING, Measured, RunningCell, reason_of_death
from .wire import (
    Frame,
    Splitter,
    WireError,
    enclose,
    encode,
    parse,
)

TYPE_CHECKING = False  # replaces `typing.TYPE_CHECKING`, whose import takes a tenth of a sandbox's start
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from .config import Config

    class Supervisor(Protocol):
        """The parts of its supervisor that a REPL process uses."""

        config: Config

        def tell(self, *frames: Frame) -> None: ...
        def watch(self, fd: int, callback: Callable[[], None], *, events: int = ...) -> None: ...
        def unwatch(self, fd: int) -> None: ...
        def hold_host(self, hold: bool) -> None: ...
        def other_repls(self, repl: ReplProcess) -> set[int]: ...


_FORK_RETRY_SECONDS = 0.05
_KEPT_PIPES = 8


class ReplProcess:
    def __init__(self, *, number: int, supervisor: Supervisor) -> None:
        self.number = number
        self.pid = 0
        self._supervisor = supervisor
        self._generation = 0
        self._set_up = False
        self._announced = False
        self._hears = True
        self._hung_up = False
        self._reason = ""
        self._retry_at = NEVER
        self._cell: RunningCell | None = None
        self._control: socket.socket | None = None
        self._splitter = Splitter()
        self._unsent: deque[tuple[bytes, int]] = deque()
        """Frames for the child, each with a file descriptor to pass on, or -1."""
        self._unsent_size = 0
        self._old_pipes: deque[int] = deque()
        self._oom_kills = 0
        self._bystanders: set[int] = set()
        self._waited_before = 0.0

    # -- life and death of the child

    def start(self) -> None:
        self._retry_at = NEVER
        self._generation += 1
        self._set_up = False
        self._hung_up = False
        ours, theirs = socket.socketpair()
        try:
            pid = os.fork()
        except OSError:  # the processes of the last child are still ending
            ours.close()
            theirs.close()
            self._retry_at = time.monotonic() + _FORK_RETRY_SECONDS
            return
        if pid == 0:
            # This frame stays below the REPL's, so that the child never finalizes anything of the supervisor's.
            repl.live(theirs, memory_mb=self._supervisor.config.process_memory_mb)
        theirs.close()
        ours.setblocking(False)
        self.pid = pid
        self._control = ours
        self._splitter = Splitter()
        self.listen(True)

    def shut(self) -> None:
        self.kill()
        self._cell = None

    def kill(self) -> None:
        """Ends the child and all processes that it started."""
        self._end_processes()
        self.pid = 0
        self._let_go()

    def _end_processes(self) -> None:
        others = self._supervisor.other_repls(self)
        if os.getpid() == 1 and not others:
            with contextlib.suppress(OSError):
                os.kill(-1, signal.SIGKILL)  # in one call, so that nothing can fork away from it
            return
        for _ in range(100):  # each pass may miss processes that are forked during it
            doomed = {pid for pid in kernel.descendants(os.getpid(), spare=others) if not kernel.is_zombie(pid)}
            if self.pid:
                with contextlib.suppress(OSError):
                    os.killpg(self.pid, signal.SIGKILL)
            if not doomed:
                return
            for pid in doomed:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)

    def _let_go(self) -> None:
        if self._control is not None:
            self._supervisor.unwatch(self._control.fileno())
            self._control.close()
            self._control = None
        for _, fd in self._unsent:
            if fd >= 0:
                os.close(fd)
        self._unsent.clear()
        if self._unsent_size:
            self._unsent_size = 0
            self._supervisor.hold_host(False)
        while self._old_pipes:
            self._close_pipe(self._old_pipes.popleft())

    def handle_death(self, status: int, usage: resource.struct_rusage) -> None:
        """Handles the child's death, caused by its own cell or by processes of an earlier one."""
        self._read_frames(last=True)  # its last message may be its result
        if not self.pid:
            return
        out_of_memory = kernel.oom_kills() > self._oom_kills
        reason = reason_of_death(status, out_of_memory=out_of_memory, hung_up=self._hung_up)
        self._lose(reason, cpu=usage.ru_utime + usage.ru_stime, peak=usage.ru_maxrss * 1024)

    def _lose(self, reason: str, *, cpu: float | None = None, peak: int | None = None) -> None:
        """Reports that the state is lost, and restarts the REPL."""
        cell, self._cell = self._cell, None
        measured = Measured(self.pid, cell, waited_before=self._waited_before, cpu=cpu, peak=peak)
        was_set_up = self._set_up
        self.kill()
        self._reason = reason
        if cell is not None:
            self._finish(cell, measured, {**NOTHING, "number": cell.number}, lost=reason)
        elif not was_set_up and self._announced:
            self._supervisor.tell({"t": "stale", "repl": self.number, "reason": reason})
        self.start()

    # -- frames of the host

    def obey(self, frame: Frame, body: bytes) -> None:
        kind = frame["t"]
        if kind == "run":
            self._run(frame, body)
        elif "batch" not in frame:
            self._send(enclose(body))
        elif self._cell is not None and frame["batch"] in self._cell.batches:
            self._send(enclose(body))
            if kind == "finish":
                del self._cell.batches[frame["batch"]]

    def _run(self, frame: Frame, body: bytes) -> None:
        if frame["generation"] != self._generation or not self._set_up:
            self._supervisor.tell({"t": "stale", "repl": self.number, "reason": self._reason})
            return
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        limit = self._supervisor.config.output_chars
        self._cell = RunningCell(frame, pid=self.pid, pipe=reading, output_chars=limit)
        self._supervisor.watch(reading, self._read_output)
        self._send(enclose(body), fd=writing)

    def _send(self, data: bytes, *, fd: int = -1) -> None:
        self._unsent.append((data, fd))
        self._unsent_size += len(data)
        self._flush_control()
        if self._unsent and not self._set_up:
            self._supervisor.hold_host(True)

    def _flush_control(self) -> None:
        if self._control is None:
            return
        while self._unsent:
            data, fd = self._unsent[0]
            try:
                sent = socket.send_fds(self._control, [data], [fd] if fd >= 0 else [])
            except BlockingIOError:
                break
            except OSError:  # it hung up; the reading side handles its death
                return
            if fd >= 0:
                os.close(fd)
            self._unsent_size -= sent
            if sent < len(data):
                self._unsent[0] = data[sent:], -1
            else:
                self._unsent.popleft()
        self._listen_control()
        if not self._unsent:
            self._supervisor.hold_host(False)

    # -- frames of the child

    def listen(self, on: bool) -> None:
        self._hears = on
        self._listen_control()
        if self._cell is not None:
            if on:
                self._supervisor.watch(self._cell.pipe, self._read_output)
            else:
                self._supervisor.unwatch(self._cell.pipe)

    def _listen_control(self) -> None:
        if self._control is None:
            return
        events = (selectors.EVENT_READ if self._hears else 0) | (selectors.EVENT_WRITE if self._unsent else 0)
        if events:
            self._supervisor.watch(self._control.fileno(), self._serve_control, events=events)
        else:
            self._supervisor.unwatch(self._control.fileno())

    def _serve_control(self) -> None:
        if self._unsent:
            self._flush_control()
        if self._hears:
            self._read_frames()

    def _read_frames(self, *, last: bool = False) -> None:
        """Reads frames of the child: one chunk, or with `last` everything that is left."""
        control = self._control
        while control is not None:
            try:
                data = control.recv(CHUNK)
                if not data:
                    self._hang_up()
                    return
                for body in self._splitter.feed(data):
                    self._handle_frame(frame_checks.check(parse(body), frame_checks.FROM_REPL))
                    if control is not self._control:  # it was lost because of what it sent
                        return
            except BlockingIOError:
                return
            except WireError as error:
                self._lose(f"the cell wrote to the REPL's own line to its supervisor: {error}")
                return
            except OSError:
                return
            if not last:
                return

    def _hang_up(self) -> None:
        """Kills the child, because it closed its connection.

        If it was about to exit, its own exit status is the reason.
        """
        if self._control is not None:
            self._supervisor.unwatch(self._control.fileno())
        self._hung_up = True
        with contextlib.suppress(OSError):
            os.kill(self.pid, signal.SIGKILL)

    def _handle_frame(self, frame: Frame) -> None:
        kind = frame["t"]
        if kind == "up":
            if not self._announced:
                self._announced = True
                self._supervisor.tell({"t": "ready", "repl": self.number})
        elif kind == "set":
            if self._cell is not None:
                raise WireError("set up again while a cell runs")
            self._set_up = True
            self._supervisor.tell({"t": "set", "repl": self.number, "generation": self._generation})
            self._measure_baseline()
        elif kind == "broke":
            self._lose(f"the REPL failed: {frame['error']}")
        elif kind in ("batch", "cancel"):
            self._pass_batch_on(frame)
        elif self._cell is None:
            raise WireError(f"a frame of type {kind!r} while no cell runs")
        else:
            self._handle_result(frame, self._cell)

    def _handle_result(self, frame: Frame, cell: RunningCell) -> None:
        if frame["t"] == "piece":
            cell.answer_chars += len(frame["text"])
            if cell.answer_chars > frame_checks.MAX_ANSWER:
                raise WireError("an answer over the limit")
            self._supervisor.tell({**frame, "repl": self.number})
        elif frame["number"] != cell.number:
            raise WireError("the result of another cell")
        else:
            self._cell = None
            self._finish(cell, Measured(self.pid, cell, waited_before=self._waited_before), frame, lost="")
            self._measure_baseline()

    def _pass_batch_on(self, frame: Frame) -> None:
        cell, number = self._cell, frame["batch"]
        if frame["t"] == "cancel":
            if cell is not None and cell.batches.pop(number, None) is not None:
                self._supervisor.tell({**frame, "repl": self.number})
            return
        if cell is None or frame["cell"] != cell.number:  # sent by a thread that an earlier cell left behind
            self._send(encode({"t": "over", "batch": number}))
            return
        if not cell.has_sub_llms:
            raise WireError("a batch where there are no sub-LLMs")
        if number not in cell.batches and len(cell.batches) >= frame_checks.MAX_BATCHES:
            raise WireError("too many batches at a time")
        chars = cell.batches.get(number, 0) + sum(len(text) for _, text in frame["pieces"])
        if chars > frame_checks.MAX_BATCH_CHARS:
            raise WireError("a batch over the limit")
        cell.batches[number] = chars
        self._supervisor.tell({**frame, "repl": self.number})

    # -- output

    def _read_output(self) -> None:
        cell = self._cell
        if cell is None:
            return
        with contextlib.suppress(BlockingIOError):
            if not cell.read():
                self._supervisor.unwatch(cell.pipe)

    def _flushed(self, cell: RunningCell) -> list[Frame]:
        return [{"t": "output", "repl": self.number, "text": piece} for piece in cell.take_live()]

    def _retire(self, cell: RunningCell) -> None:
        """Discards what processes of an earlier cell print, without killing or blocking them."""
        pipe = cell.pipe
        self._supervisor.unwatch(pipe)
        self._old_pipes.append(pipe)
        self._supervisor.watch(pipe, lambda: self._discard(pipe))
        if len(self._old_pipes) > _KEPT_PIPES:
            self._close_pipe(self._old_pipes.popleft())

    def _discard(self, pipe: int) -> None:
        with contextlib.suppress(BlockingIOError):
            if not os.read(pipe, CHUNK):
                self._old_pipes.remove(pipe)
                self._close_pipe(pipe)

    def _close_pipe(self, pipe: int) -> None:
        self._supervisor.unwatch(pipe)
        os.close(pipe)

    # -- the end of a cell

    def _finish(self, cell: RunningCell, measured: Measured, frame: Frame, *, lost: str) -> None:
        cell.drain()
        for number in cell.batches:
            self._send(encode({"t": "over", "batch": number}))
        processes = self._processes() - self._bystanders
        result = {
            **frame,
            "t": "done",
            "repl": self.number,
            "lost": lost[: frame_checks.MAX_MESSAGE],
            "timed_out": cell.interrupts > 0,
            "chars": cell.output.chars,
            "wall": measured.wall,
            "cpu": measured.cpu,
            "peak": measured.peak,
            "processes": 0 if lost else sum(not kernel.is_zombie(pid) for pid in processes),
        }
        if lost:
            self._supervisor.unwatch(cell.pipe)
            os.close(cell.pipe)
        else:
            self._retire(cell)
        self._supervisor.tell(*self._flushed(cell), result)

    def _measure_baseline(self) -> None:
        """Measures the state before the next cell, between cells, when nothing waits for it."""
        self._bystanders = self._processes()
        self._waited_before = kernel.waited_cpu_seconds(self.pid)
        self._oom_kills = kernel.oom_kills()
        kernel.forget_peak_memory(self.pid)

    def _processes(self) -> set[int]:
        others = self._supervisor.other_repls(self)
        return kernel.descendants(os.getpid(), spare=others) - {self.pid}

    # -- time

    @property
    def due(self) -> float:
        cell = self._cell
        if cell is None:
            return self._retry_at
        return min(self._retry_at, cell.flush_at, cell.next_step_at)

    def keep_time(self, now: float) -> None:
        if now >= self._retry_at:
            self.start()
        cell = self._cell
        if cell is None:
            return
        if now >= cell.flush_at:
            self._supervisor.tell(*self._flushed(cell))
        if now >= cell.next_step_at:
            if cell.interrupts < len(INTERRUPTS):
                cell.interrupts += 1
                self._interrupt()
            else:
                self._lose("the cell could not be interrupted at its time limit")

    def _interrupt(self) -> None:
        """Interrupts the cell like Ctrl-C in a terminal, including its foreground processes."""
        with contextlib.suppress(OSError):
            os.killpg(self.pid, signal.SIGCONT)
            os.killpg(self.pid, signal.SIGINT)
