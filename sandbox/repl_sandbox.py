"""The sandbox that the engine holds: one REPL in a box. It replaces a lost box or REPL.

A lost part is replaced before the next cell, and the result of the cell that destroyed it says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from sandbox.box import Box
from sandbox.contract import (
    Answer,
    Batch,
    CellError,
    CellResult,
    EngineUnavailable,
    Limits,
    SandboxError,
    Variable,
)
from sandbox.inside.wire import Frame, pieces

from .inside import frame_checks

STATE_LOST = "StateLost"
"""`CellError.type` after a restart of the REPL."""

_WATCHDOG_SECONDS = 1.6
"""Seconds after a cell's limit by which the supervisor reports its end. A silent supervisor is taken to be
hung.
"""
_SETUP_SECONDS = 60.0
_CHARS_PER_SETUP_SECOND = 200_000
_MAX_CODE = 1_000_000
_MAX_SECONDS = 1e6


class _BoxLost(Exception):
    """The box ended, broke the protocol or does not answer."""


class ReplSandbox:
    """The implementation of `contract.Sandbox` for both backends."""

    def __init__(
        self,
        *,
        backend: str,
        limits: Limits,
        open_box: Callable[[], Box],
        engine_left: Callable[[], bool] = lambda: False,
        repl: int = 0,
    ) -> None:
        self.backend = backend
        self._limits = limits
        self._ends_at = time.monotonic() + limits.lifetime_seconds
        self._open_box = open_box
        self._engine_left = engine_left
        self._box: Box | None = open_box()
        self._repl = repl
        self._variables: dict[str, str] = {}
        self._rlm = False
        self._answer = Answer()
        self._generation: int | None = None
        """Generation of the REPL that is set up; None before the set-up."""
        self._cells = 0
        self._closed = False

    # -- contract

    def load(self, variables: Mapping[str, str], *, rlm: bool = True) -> None:
        self._variables = dict(variables)
        self._rlm = rlm
        self._generation = None
        with self._fatal():
            self._make_ready()

    def execute(
        self,
        code: str,
        *,
        time_limit: float,
        on_batch: Callable[[Batch], None] | None = None,
        on_output: Callable[[str], None] | None = None,
    ) -> CellResult:
        if not 0 < time_limit < _MAX_SECONDS:
            raise ValueError(f"a cell's time limit of {time_limit} s")
        if len(code) > _MAX_CODE:
            message = f"the cell has {len(code)} characters; at most {_MAX_CODE} are allowed"
            return CellResult(
                error=CellError(type="ValueError", message=message, traceback=""), answer=self._answer
            )
        self._cells += 1
        lost = ""
        for _ in range(3):
            with self._fatal():
                self._make_ready()
            run = _Run(
                limit=time_limit, on_batch=on_batch, on_output=on_output, output_chars=self._limits.output_chars
            )
            frame = self._run(code, run)
            if frame is None or frame["t"] == "done":
                return self._result(run, frame, lost=lost)
            lost = f"between the cells {frame['reason']}"  # stale: likely caused by threads of an earlier cell
            self._lose_state()
        raise SandboxError(f"the REPL does not stay alive: {lost}")

    def close(self) -> None:
        self._closed = True
        box, self._box = self._box, None
        if box is not None and self._repl:
            box.shut_repl(self._repl)
        elif box is not None:
            box.close()

    def beside(self) -> ReplSandbox:
        """Returns another sandbox in the same box, for a sub-LLM that is an RLM itself. It ends with this one."""
        with self._fatal():
            self._make_ready()
        box = self._box
        assert box is not None
        repl = box.open_repl(timeout=_SETUP_SECONDS)
        shared = [box]  # it is available once: a lost box is replaced for the first REPL only

        def open_box() -> Box:
            if not shared:
                raise SandboxError("the sandbox that this REPL was opened beside is gone")
            return shared.pop()

        return ReplSandbox(
            backend=self.backend,
            limits=self._limits,
            open_box=open_box,
            engine_left=self._engine_left,
            repl=repl,
        )

    # -- being ready

    @contextmanager
    def _fatal(self) -> Iterator[None]:
        """Closes the sandbox when its box fails outside of a cell, because a retry would not help."""
        try:
            yield
        except _BoxLost as error:
            self.close()
            raise self._failure(str(error)) from error

    def _failure(self, message: str) -> SandboxError:
        """Returns the error of a lost box: EngineUnavailable if the engine is gone, else SandboxError."""
        return EngineUnavailable(message) if self._engine_left() else SandboxError(message)

    def _make_ready(self) -> None:
        if self._closed:
            raise SandboxError("the sandbox is closed")
        if time.monotonic() >= self._ends_at:
            raise SandboxError(f"the sandbox's lifetime of {self._limits.lifetime_seconds:g} s is over")
        if self._box is None:
            self._box = self._open_box()
        if self._generation is not None:
            return
        try:
            self._set_up(self._box)
        except _BoxLost:
            if self._cells == 0:
                raise
            self._lose_box()  # whatever broke the REPL broke the box as well
            self._box = self._open_box()
            self._set_up(self._box)

    def _set_up(self, box: Box) -> None:
        slots = {f"var:{name}": text for name, text in self._variables.items()}
        slots["answer"] = self._answer.content
        try:
            box.send({"t": "reset", "repl": self._repl})
            for slot, text in slots.items():
                for piece in pieces(text):
                    box.send({"t": "text", "repl": self._repl, "slot": slot, "text": piece})
            box.send({"t": "setup", "repl": self._repl, "rlm": self._rlm})
            chars = sum(map(len, slots.values()))
            frame = box.wait(self._repl, timeout=_SETUP_SECONDS + chars / _CHARS_PER_SETUP_SECOND)
        except (OSError, EOFError) as error:
            raise _BoxLost(f"the sandbox was lost while it was set up: {error}") from error
        if frame["t"] != "set":
            raise _BoxLost(f"the REPL was lost while it was set up: {frame.get('reason', frame['t'])}")
        self._generation = frame["generation"]

    def _lose_state(self) -> None:
        self._generation = None
        self._answer = Answer(content=self._answer.content)

    def _lose_box(self) -> None:
        self._lose_state()
        box, self._box = self._box, None
        if box is not None:
            box.close(kill=True)

    # -- one cell

    def _run(self, code: str, run: _Run) -> Frame | None:
        """Returns the cell's last frame: `done`, or `stale` if the cell could not begin; None if the box
        was lost.
        """
        box = self._box
        assert box is not None
        *front, last = pieces(code)
        try:
            box.send(
                *({"t": "text", "repl": self._repl, "slot": "code", "text": piece} for piece in front),
                {
                    "t": "run",
                    "repl": self._repl,
                    "generation": self._generation,
                    "number": self._cells,
                    "code": last,
                    "limit": run.limit,
                    "sub_llms": run.on_batch is not None,
                },
            )
            return self._follow(box, run)
        except (OSError, EOFError) as error:
            run.lost = self._why_lost(box, error)
            self._lose_box()
            if self._engine_left():
                self.close()
                raise EngineUnavailable(f"the sandbox went with its engine: {run.lost}") from error
            return None
        except BaseException:  # an error of a callback is ours; the cell may still be running
            self._lose_box()
            raise
        finally:
            run.cancel_batches()

    def _follow(self, box: Box, run: _Run) -> Frame:
        while True:
            frame = box.wait(self._repl, timeout=run.patience())
            kind = frame["t"]
            if kind in ("done", "stale"):
                return frame
            if kind == "output":
                run.hear(frame["text"])
            elif kind == "piece":
                run.hear_answer(frame["text"])
            elif kind == "batch":
                run.gather(frame, send=box.send, repl=self._repl)
            elif kind == "cancel":
                run.cancel(frame["batch"])
            else:
                raise EOFError(f"a frame of type {kind!r} came in the middle of a cell")

    def _why_lost(self, box: Box, error: Exception) -> str:
        if time.monotonic() >= box.ends_at:
            return "the sandbox's lifetime is over"
        if isinstance(error, TimeoutError):
            return "the sandbox did not answer in time and was killed"
        return f"the sandbox died ({error or 'it ended'})"

    def _result(self, run: _Run, frame: Frame | None, *, lost: str) -> CellResult:
        if frame is None:
            self._lose_state()
            return run.result_without_report(answer=self._answer)
        if frame["lost"]:
            self._lose_state()
        elif self._rlm:
            content = "".join(run.answer_pieces) + (frame["answer"] or "")
            self._answer = Answer(content=content, ready=frame["ready"])
        return CellResult(
            output="".join(run.output),
            output_chars=frame["chars"],
            out=frame["out"],
            error=_error(run, frame, lost=lost or frame["lost"]),
            timed_out=frame["timed_out"],
            state_lost=bool(lost or frame["lost"]),
            wall_seconds=frame["wall"],
            cpu_seconds=frame["cpu"],
            peak_memory_bytes=frame["peak"],
            answer=self._answer,
            answer_rebound=frame["rebound"],
            repairs=tuple(frame["repairs"]),
            variables=tuple(Variable(*row) for row in frame["variables"]),
            leftover_threads=frame["threads"],
            leftover_processes=frame["processes"],
        )


class _Run:
    """The host's state while one cell runs."""

    def __init__(
        self,
        *,
        limit: float,
        on_batch: Callable[[Batch], None] | None,
        on_output: Callable[[str], None] | None,
        output_chars: int,
    ) -> None:
        self.limit = limit
        self.on_batch = on_batch
        self.output: list[str] = []
        self.answer_pieces: list[str] = []
        self.lost = ""
        self._on_output = on_output
        self._room = output_chars
        self._answer_room = frame_checks.MAX_ANSWER
        self._batches: dict[int, Batch] = {}
        self._prompts: dict[int, dict[int, list[str]]] = {}
        self._began = time.monotonic()

    def patience(self) -> float:
        return self._began + self.limit + _WATCHDOG_SECONDS - time.monotonic()

    def hear(self, text: str) -> None:
        self._room -= len(text)
        if self._room < 0:
            raise EOFError("more output came than was asked for")
        self.output.append(text)
        if self._on_output is not None:
            self._on_output(text)

    def hear_answer(self, text: str) -> None:
        self._answer_room -= len(text)
        if self._answer_room < 0:
            raise EOFError("a longer answer came than is allowed")
        self.answer_pieces.append(text)

    def gather(self, frame: Frame, *, send: Callable[..., None], repl: int) -> None:
        """Collects the pieces of a batch's prompts. The batch begins once all have arrived."""
        number = frame["batch"]
        if self.on_batch is None or number in self._batches or len(self._prompts) > frame_checks.MAX_BATCHES:
            raise EOFError("a batch came that was not asked for")
        prompts = self._prompts.setdefault(number, {})
        for index, piece in frame["pieces"]:
            prompts.setdefault(index, []).append(piece)
        if not frame["last"]:
            return
        texts = ["".join(prompts[index]) for index in sorted(prompts)]
        del self._prompts[number]
        batch = self._batches[number] = _batch(texts, number=number, repl=repl, send=send)
        self.on_batch(batch)

    def cancel(self, number: int) -> None:
        if number in self._batches:
            self._batches[number].cancelled.set()

    def cancel_batches(self) -> None:
        for batch in self._batches.values():
            batch.cancelled.set()

    def result_without_report(self, *, answer: Answer) -> CellResult:
        seconds = time.monotonic() - self._began
        output = "".join(self.output)
        return CellResult(
            output=output,
            output_chars=len(output),
            error=CellError(type=STATE_LOST, message=_restart_message(self.lost), traceback=""),
            timed_out=seconds >= self.limit,
            state_lost=True,
            wall_seconds=seconds,
            answer=answer,
        )


def _batch(prompts: list[str], *, number: int, repl: int, send: Callable[..., None]) -> Batch:
    address = {"repl": repl, "batch": number}

    def dispatch(*frames: Frame) -> None:
        with suppress(OSError):  # the box is gone, and the cell with it; the cell's own thread notices
            send(*frames)

    def send_answer(index: int, text: str) -> None:
        if not 0 <= index < len(prompts):
            raise IndexError(f"answer to prompt {index} of {len(prompts)}")
        *front, last = pieces(text)
        dispatch(
            *({"t": "text", **address, "index": index, "text": piece} for piece in front),
            {"t": "answer", **address, "index": index, "text": last},
        )

    def send_finish(summary: str) -> None:
        dispatch({"t": "finish", **address, "summary": pieces(summary)[0]})

    return Batch(prompts=prompts, send_answer=send_answer, send_finish=send_finish)


def _error(run: _Run, frame: Frame, *, lost: str) -> CellError | None:
    told = frame["error"]
    if lost and told is None:
        return CellError(type=STATE_LOST, message=_restart_message(lost), traceback="")
    if told is None:
        return None
    message = told["message"]
    if frame["timed_out"] and told["type"] == "KeyboardInterrupt":
        limit = f"the cell ran past its time limit of {run.limit:g} s and was interrupted"
        message = f"{limit}; {message}" if message else limit
    if lost:
        message = f"{message} (before it: {_restart_message(lost)})"
    return CellError(type=told["type"], message=message, traceback=told["traceback"])


def _restart_message(reason: str) -> str:
    return f"{reason}; the REPL was restarted, and the variables of earlier cells are gone"
