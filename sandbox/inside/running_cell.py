"""The cell that runs in a REPL process, as the supervisor sees it, and what is measured of it from outside."""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import signal
import termios
import time

from . import kernel
from .output import Output
from .wire import Frame, pieces

CHUNK = 65536
NEVER = float("inf")
_FLUSH_SECONDS = 0.02
"""Seconds for which live output is gathered. The output of a short cell then travels with its result."""
INTERRUPTS = (0.0, 0.35)
_GRACE_SECONDS = 0.7
"""Seconds from the first interrupt to the kill. The second interrupt is for a cell that swallowed the first."""


class RunningCell:
    """The cell that a REPL process runs: its time, its output and its batches."""

    def __init__(self, run: Frame, *, pid: int, pipe: int, output_chars: int) -> None:
        self.number = int(run["number"])
        self.has_sub_llms = bool(run["sub_llms"])
        self.pipe = pipe
        self.output = Output(limit=output_chars)
        self.live: list[str] = []
        self.flush_at = NEVER
        self.batches: dict[int, int] = {}
        """Characters of each batch that waits."""
        self.answer_chars = 0
        self.interrupts = 0
        self.cpu_before = kernel.cpu_seconds(pid)
        self.started_at = time.monotonic()
        self.ends_at = self.started_at + float(run["limit"])

    @property
    def next_step_at(self) -> float:
        """The time of the next step: interrupt, second interrupt, kill."""
        step = self.interrupts
        return self.ends_at + (INTERRUPTS[step] if step < len(INTERRUPTS) else _GRACE_SECONDS)

    def read(self) -> bool:
        """Reads a chunk of output. Returns False at its end. Raises BlockingIOError where none waits."""
        data = os.read(self.pipe, CHUNK)
        self._take(data)
        return bool(data)

    def _take(self, data: bytes) -> None:
        head = self.output.feed(data) if data else ""
        if head:
            self.live.append(head)
            self.flush_at = min(self.flush_at, time.monotonic() + _FLUSH_SECONDS)

    def drain(self) -> None:
        """Reads what is in the pipe now, but not what a forgotten process still writes."""
        waiting = array.array("i", [0])
        fcntl.ioctl(self.pipe, termios.FIONREAD, waiting)
        left = waiting[0]
        while left > 0:
            data = os.read(self.pipe, min(left, CHUNK))
            if not data:
                break
            left -= len(data)
            self._take(data)
        self.live.append(self.output.feed(b"", final=True))
        tail = self.output.tail()
        if tail:
            self.live.append(tail)

    def take_live(self) -> list[str]:
        """Returns the output to be forwarded, in pieces that fit a frame, and clears it."""
        text = "".join(self.live)
        self.live.clear()
        self.flush_at = NEVER
        return [piece for piece in pieces(text) if piece]


NOTHING: Frame = {
    "out": None,
    "error": None,
    "answer": None,
    "ready": False,
    "rebound": "",
    "repairs": [],
    "variables": [],
    "threads": 0,
}
"""The result of a cell whose process died."""


class Measured:
    """Wall time, CPU time and peak memory of a cell, taken while its process can still be asked."""

    def __init__(
        self,
        pid: int,
        cell: RunningCell | None,
        *,
        waited_before: float,
        cpu: float | None = None,
        peak: int | None = None,
    ) -> None:
        self.wall = time.monotonic() - cell.started_at if cell else 0.0
        used = kernel.cpu_seconds(pid) + kernel.waited_cpu_seconds(pid) if cpu is None else cpu
        self.cpu = max(0.0, used - cell.cpu_before - waited_before) if cell else 0.0
        self.peak = kernel.peak_memory(pid) if peak is None else peak


def reason_of_death(status: int, *, out_of_memory: bool, hung_up: bool) -> str:
    """Returns why a process ended, from its wait status."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number == signal.SIGKILL and out_of_memory:
            return "the REPL ran out of memory and was killed"
        if number == signal.SIGKILL and hung_up:
            return "the cell closed the REPL's own line to its supervisor"
        with contextlib.suppress(ValueError):
            return f"the REPL was killed by {signal.Signals(number).name}"
        return f"the REPL was killed by signal {number}"
    return f"the REPL's process exited with status {os.WEXITSTATUS(status)}"
