"""Equality of two mathematical expressions, decided in a helper process with a hard time limit.

math-verify limits its own time by signals, which work only in a main thread, but workers run rollouts in threads;
and its input comes from a model. The helper serves one thread at a time. It is killed when it takes too long, and
restarted on demand.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import subprocess
import sys
import threading
import time
from pathlib import Path

from .base import EnvironmentFault

SCRIPT = Path(__file__).with_name("math_grader_process.py")
START_SECONDS = 60.0
MAX_ANSWER_CHARS = 20_000
"""The maximum length of a graded answer, in characters. The end is graded, where the final answer stands."""


class GraderError(EnvironmentFault):
    """The helper process cannot be started."""


class MathGrader:
    """A grader of expressions in the helper process. Thread-safe. `equal` returns within `time_limit` plus the
    time of other threads' requests.
    """

    def __init__(self, *, time_limit: float = 10.0) -> None:
        self.time_limit = time_limit
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def equal(self, *, gold: str, answer: str) -> bool:
        """Returns whether the expressions are equal. False also if the comparison fails, takes too long or kills
        the helper.
        """
        return self._ask({"gold": gold, "answer": answer[-MAX_ANSWER_CHARS:]})

    def is_expression(self, text: str) -> bool:
        """Returns whether the text can be parsed as a mathematical expression."""
        return self._ask({"expression": text})

    def _ask(self, request: dict[str, str]) -> bool:
        line = json.dumps(request).encode() + b"\n"
        with self._lock:
            process = self._running()
            assert process.stdin is not None
            try:
                process.stdin.write(line)
                process.stdin.flush()
                reply = _read_line(process, seconds=self.time_limit)
            except BrokenPipeError:
                reply = None
            if reply is None:
                self._stop()
                return False
        return bool(json.loads(reply)["yes"])

    def close(self) -> None:
        """Ends the helper; the next request starts a new one."""
        with self._lock:
            self._stop()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._owner == os.getpid() and self._process.poll() is None:
            return self._process
        if self._owner == os.getpid():
            self._stop()
        # -I and an empty environment keep our keys out of the expression's reach.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-X", "utf8", str(SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
        )
        self._owner = os.getpid()
        if _read_line(self._process, seconds=START_SECONDS) is None:
            self._stop()
            raise GraderError("the helper process of math-verify does not start; is math-verify installed?")
        return self._process

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None or self._owner != os.getpid():
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue


def _read_line(process: subprocess.Popen[bytes], *, seconds: float) -> bytes | None:
    """Returns one line of the helper's replies; None if it dies or takes longer."""
    assert process.stdout is not None
    pipe = process.stdout.fileno()
    # poll, not select: a worker may have more than a thousand open files.
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    deadline = time.monotonic() + seconds
    line = b""
    while not line.endswith(b"\n"):
        ready = poll.poll(1000 * max(0.0, deadline - time.monotonic()))
        piece = os.read(pipe, 65536) if ready else b""
        if not piece:
            return None
        line += piece
    return line


SHARED = MathGrader()
atexit.register(SHARED.close)
