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
    """The sandbox itself failed: it could not start, died or broke the protocol. Never an error of the user's
    code.
    """


class EngineUnavailable(SandboxError):
    """The engine is temporarily unavailable: it does not answer, is restarting, or has no space left.

    Work in its sandboxes may be lost. Callers should wait and retry; it says nothing about the code that ran.
    """


class ImageError(SandboxError):
    """The image of a package set could not be built. `log` holds the build's output.

    The message names the failed package if the log does.
    """

    def __init__(self, message: str, *, log: str = "") -> None:
        super().__init__(message)
        self.log = log


@dataclass(frozen=True)
class Limits:
    """Limits of one sandbox. The process backend enforces only `memory_mb` and the output limits."""

    memory_mb: int = 1024
    pids: int = 128
    cpus: float = 1.0
    tmpfs_mb: int = 256
    output_chars: int = 1_000_000
    """The maximum number of characters kept of a cell's output. Of a longer output, the head and the tail are
    kept.
    """
    lifetime_seconds: float = 3600.0
    """Seconds after which every sandbox ends, even if its owner is gone."""


@dataclass(frozen=True)
class SandboxSpec:
    """The packages and limits that a rollout's sandbox needs."""

    packages: tuple[str, ...] = ()
    """pip requirements, as in a requirements file; importable in every cell."""
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class CellError:
    """An exception that ended a cell. `traceback` contains only the user's frames."""

    type: str
    message: str
    traceback: str


@dataclass(frozen=True)
class Variable:
    """A user variable after a cell. `size` is its len() or shape as text, "" if it has neither."""

    name: str
    type: str
    size: str
    repr: str


@dataclass(frozen=True)
class Answer:
    """The `answer` dict after a cell in a safe form: `content` as text, `ready` as a bool."""

    content: str = ""
    ready: bool = False


@dataclass(frozen=True)
class CellResult:
    """The result of one cell.

    `output` is stdout and stderr interleaved: whole up to `Limits.output_chars`, beyond that its head and tail.
    `output_chars` counts all output. `out` is the repr of the last expression, None if the cell ends in a
    statement or in None. `timed_out` says that the cell was interrupted at its limit. `state_lost` says that the
    REPL was restarted (`error` has the reason): only variables given by `load` remain, and `answer` is restored
    with ready false. Seconds are wall and CPU time. `leftover_threads` and `leftover_processes` count what the
    cell left running.

    `repairs` names the corrections made to the source before it ran: `byte_order_mark`, `code_fence`,
    `indentation`. `answer_rebound` is the type that the cell bound `answer` to instead of its dict, "nothing" if
    it deleted the name, else ""; the next cell has the dict again.
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

    Any thread may call `answer(i, text)` and `finish(summary)`. A cell that times out keeps the answers given
    before. `cancelled` is set when the cell no longer waits. `answered` counts the answers so far.
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
        """Gives the answer to `prompts[index]`. After `cancelled` it is dropped silently."""
        if not self.cancelled.is_set():
            self._send_answer(index, text)
            with self._lock:
                self.answered += 1

    def finish(self, summary: str) -> None:
        """Ends the batch after all answers: prints `summary` in the cell and lets `llm_batch` return."""
        if not self.cancelled.is_set():
            self._send_finish(summary)


class Sandbox(Protocol):
    """One sealed box with one REPL."""

    backend: str
    """`docker` or `process`."""

    def load(self, variables: Mapping[str, str], *, rlm: bool = True) -> None:
        """Sets up the REPL's namespace: text variables of any length and, for an RLM, `answer` and `llm_batch`.

        Called at most once, before the first cell; the sandbox repeats it after its state was lost. Without a
        call, the namespace is that of a plain Python tool, without `answer` and `llm_batch`.
        """

    def execute(
        self,
        code: str,
        *,
        time_limit: float,
        on_batch: Callable[[Batch], None] | None = None,
        on_output: Callable[[str], None] | None = None,
    ) -> CellResult:
        """Runs one cell for at most `time_limit` seconds.

        Raises SandboxError if the sandbox is gone, and EngineUnavailable if its engine is gone as well. `on_batch`
        is called in the calling thread for each `llm_batch` of the cell. It must return immediately and leave the
        work to its own threads; without it, `llm_batch` raises an error in the cell. `on_output` receives the
        output while the cell runs.
        """

    def close(self) -> None:
        """Ends the sandbox without waiting; another thread removes it. Idempotent."""


class Backend(Protocol):
    """A source of sandboxes."""

    name: str

    def prepare(self, packages: tuple[str, ...]) -> str:
        """Makes sure that sandboxes with these packages can start, by building the image if required. Raises
        ImageError.

        Returns the tag of the image, or the backend's name if it has no images.
        """

    def start(self, spec: SandboxSpec) -> Sandbox:
        """Returns a fresh sandbox, a warm one if the pool has one.

        Raises SandboxError; EngineUnavailable if a retry may succeed.
        """

    def is_away(self) -> bool:
        """Returns whether no sandbox can start now, because the engine does not answer."""

    def sizes(self) -> Mapping[str, int]:
        """Returns the number of sandboxes by state: `open`, and `warm` as a part of these."""

    def close(self) -> None:
        """Ends the pool and every sandbox of this backend."""
