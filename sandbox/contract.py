"""The sandbox contract: the types that cross its wall, and two protocols.

A backend (Docker, process) starts sandboxes. A sandbox holds one persistent Python REPL and is driven by one
thread at a time. `load` puts data in. `execute` runs one cell and returns a well-formed `CellResult` within the
cell's time limit plus two seconds, whatever the cell does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


class SandboxError(Exception):
    """The sandbox itself failed (could not start, died, broke the wire); never an error of the user's code."""


class EngineUnavailable(SandboxError):
    """The engine cannot serve for now: it does not answer, is restarting, or has no space left.

    What ran in its sandboxes may be gone. It is worth waiting for, and no result of the code.
    """


class ImageError(SandboxError):
    """The image of a package set could not be built. `log` holds the build's output.

    The message names the package that failed if the log does.
    """

    def __init__(self, message: str, *, log: str = "") -> None:
        super().__init__(message)
        self.log = log


@dataclass(frozen=True)
class Limits:
    """Walls of one sandbox. The process backend keeps `memory_mb` and the output caps only."""

    memory_mb: int = 1024
    pids: int = 128
    cpus: float = 1.0
    tmpfs_mb: int = 256
    output_chars: int = 1_000_000
    """Characters of one cell's output that are kept; beyond them, the first and the last half."""
    lifetime_seconds: float = 3600.0
    """Seconds after which every sandbox ends, whatever happened to its owner."""


@dataclass(frozen=True)
class SandboxSpec:
    """What a rollout needs of its sandbox."""

    packages: tuple[str, ...] = ()
    """pip requirements, as in a requirements file; importable in every cell."""
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class CellError:
    """An exception that ended a cell. `traceback` has only the user's frames."""

    type: str
    message: str
    traceback: str


@dataclass(frozen=True)
class Variable:
    """One user variable after a cell: `size` is len() or a shape as text, "" where neither is known."""

    name: str
    type: str
    size: str
    repr: str


@dataclass(frozen=True)
class Answer:
    """The `answer` dict after a cell, made safe: `content` as text, `ready` as a bool."""

    content: str = ""
    ready: bool = False


@dataclass(frozen=True)
class CellResult:
    """The result of one cell.

    `output` is stdout and stderr interleaved, whole up to `Limits.output_chars`, beyond that its head and tail;
    `output_chars` counts all that was written. `out` is the repr of the last expression, None after a statement or
    None. `timed_out`: the cell was interrupted at its limit. `state_lost`: the REPL was restarted (`error` has the
    reason); only variables given by `load` remain, and `answer` is restored with ready false. Seconds are wall and
    CPU time. `leftover_threads` and `leftover_processes` count what the cell left running.

    `repairs` names what was mended in the source before it ran: `byte_order_mark`, `code_fence`, `indentation`.
    `answer_rebound` is the type that the cell bound `answer` to instead of its dict, "nothing" where it deleted
    the name, else ""; the dict is back for the next cell.
    """

    output: str = ""
    output_chars: int = 0
    out: str | None = None
    error: CellError | None = None
    timed_out: bool = False
    state_lost: bool = False
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0
    answer: Answer = field(default_factory=Answer)
    answer_rebound: str = ""
    repairs: tuple[str, ...] = ()
    variables: tuple[Variable, ...] = ()
    leftover_threads: int = 0
    leftover_processes: int = 0


class Batch:
    """One `llm_batch(prompts)` that a running cell waits for.

    `answer(i, text)` and `finish(summary)` may be called from any thread; an answer that was given before the
    cell ran out of time is not lost to it. `cancelled` is set when the cell no longer waits. `answered` counts the
    answers so far.
    """

    def __init__(
        self,
        *,
        prompts: Sequence[str],
        send_answer: Callable[[int, str], None],
        send_finish: Callable[[str], None],
    ) -> None:
        self.prompts = tuple(prompts)
        self.answered = 0
        self.cancelled = threading.Event()
        self._lock = threading.Lock()
        self._send_answer = send_answer
        self._send_finish = send_finish

    def answer(self, index: int, text: str) -> None:
        """The answer to `prompts[index]`. After `cancelled` it is dropped silently."""
        if not self.cancelled.is_set():
            self._send_answer(index, text)
            with self._lock:
                self.answered += 1

    def finish(self, summary: str) -> None:
        """All answers are given: `summary` is printed in the cell, and `llm_batch` returns there."""
        if not self.cancelled.is_set():
            self._send_finish(summary)


class Sandbox(Protocol):
    """One sealed box with one REPL."""

    backend: str
    """`docker` or `process`."""

    def load(self, variables: Mapping[str, str], *, rlm: bool = True) -> None:
        """Sets the REPL's namespace up: text variables of any length and, for an RLM, `answer` and `llm_batch`.

        Called at most once, before the first cell; done again by itself after a lost state. Without a call the
        namespace is that of a plain Python tool: no `answer`, no `llm_batch`.
        """

    def execute(
        self,
        code: str,
        *,
        time_limit: float,
        on_batch: Callable[[Batch], None] | None = None,
        on_output: Callable[[str], None] | None = None,
    ) -> CellResult:
        """Runs one cell for at most `time_limit` seconds. Raises SandboxError if the sandbox is gone, and
        EngineUnavailable if it went with its engine.

        `on_batch` is called in the calling thread for each `llm_batch` of the cell; it must return immediately and
        leave the work to its own threads. Without it, `llm_batch` raises an error in the cell. `on_output`
        receives the output while the cell runs.
        """

    def close(self) -> None:
        """Ends the sandbox without waiting; the removal happens in another thread. Idempotent."""


class Backend(Protocol):
    """Starts sandboxes."""

    name: str

    def prepare(self, packages: tuple[str, ...]) -> str:
        """Makes sure that sandboxes with these packages can start (builds the image). Raises ImageError.

        The tag of the image; of a backend without images, its own name.
        """

    def start(self, spec: SandboxSpec) -> Sandbox:
        """Returns a fresh sandbox, warm if the pool has one. Raises SandboxError; EngineUnavailable where it is
        worth another try.
        """

    def is_away(self) -> bool:
        """Returns whether no sandbox can start now, because the engine does not answer."""

    def sizes(self) -> Mapping[str, int]:
        """Returns the number of its sandboxes by state: `open`, and of these `warm`."""

    def close(self) -> None:
        """Ends the pool and every sandbox of this backend."""
