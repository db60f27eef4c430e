"""`llm_batch` as user code calls it: prompts go to the host, answers come back one by one."""

from __future__ import annotations

import itertools

from .frame_checks import MAX_BATCH_CHARS, MAX_BATCH_PROMPTS
from .line import Interrupts, Line
from .wire import PIECE_CHARS, Frame, pieces


class LlmBatch:
    """`llm_batch(prompts: list[str]) -> list[str]` sends all prompts to sub-LLMs and returns the answers in order.

    After an interrupt, `llm_batch.partial` has the answers that arrived, and None for the others.
    """

    def __init__(self, line: Line, *, interrupts: Interrupts) -> None:
        self.partial: list[str | None] = []
        self.__name__ = "llm_batch"
        self._line = line
        self._interrupts = interrupts
        self._numbers = itertools.count()
        self._cell = 0
        self._open = False
        self._has_host = False

    def __repr__(self) -> str:
        return "<function llm_batch(prompts: list[str]) -> list[str]>"

    def open(self, *, cell: int, has_host: bool) -> None:
        self._cell = cell
        self._open = True
        self._has_host = has_host

    def shut(self) -> None:
        self._open = False

    def __call__(self, prompts: list[str]) -> list[str]:
        prompts = _checked(prompts)
        if not self._open:
            raise RuntimeError("llm_batch: the cell has ended")
        if not self._has_host:
            raise RuntimeError("llm_batch: there are no sub-LLMs here")
        if not prompts:
            return []
        with self._interrupts.held():
            return self._ask(prompts)

    def _ask(self, prompts: list[str]) -> list[str]:
        number = next(self._numbers)
        answers: list[str | None] = [None] * len(prompts)
        self.partial = answers
        waits = True
        try:
            self._line.send(*_frames(number, prompts, cell=self._cell))
            summary = self._collect(number, answers)
            waits = False
        except KeyboardInterrupt:
            arrived = len(answers) - answers.count(None)
            raise KeyboardInterrupt(
                f"llm_batch was cancelled; {arrived} of its {len(answers)} answers had arrived and are in"
                " llm_batch.partial (None for the others)"
            ) from None
        finally:
            if waits:
                self._line.send({"t": "cancel", "batch": number})
            self._line.forget(number)
        if summary:
            print(summary)
        return [answer or "" for answer in answers]

    def _collect(self, number: int, answers: list[str | None]) -> str:
        """Fills in `answers` until the host finishes the batch. Returns the batch's summary."""
        unfinished: dict[int, str] = {}
        while True:
            frame = self._line.wait(number)
            kind = frame["t"]
            if kind == "over":
                raise RuntimeError("llm_batch: the cell has ended")
            if kind == "finish":
                return str(frame["summary"])
            index = frame["index"]
            unfinished[index] = unfinished.get(index, "") + frame["text"]
            if kind == "answer":
                answers[index] = unfinished.pop(index)


def _checked(prompts: list[str]) -> list[str]:
    if isinstance(prompts, str):
        raise TypeError("llm_batch takes a list of prompts; this is one str: write llm_batch([prompt])")
    prompts = list(prompts)
    if len(prompts) > MAX_BATCH_PROMPTS:
        raise ValueError(f"llm_batch: {len(prompts)} prompts; at most {MAX_BATCH_PROMPTS} at once")
    for index, prompt in enumerate(prompts):
        if not isinstance(prompt, str):
            raise TypeError(f"llm_batch: prompt {index} is not a str but {type(prompt).__name__}")
    chars = sum(map(len, prompts))
    if chars > MAX_BATCH_CHARS:
        raise ValueError(f"llm_batch: {chars} characters of prompts; at most {MAX_BATCH_CHARS} at once")
    return [str.__str__(prompt) for prompt in prompts]


def _frames(number: int, prompts: list[str], *, cell: int) -> list[Frame]:
    """Returns the batch in as few frames as its size allows."""
    frames: list[Frame] = []
    room = 0
    for index, prompt in enumerate(prompts):
        for piece in pieces(prompt):
            if not frames or len(piece) > room:
                frames.append({"t": "batch", "batch": number, "cell": cell, "pieces": [], "last": False})
                room = PIECE_CHARS
            frames[-1]["pieces"].append([index, piece])
            room -= len(piece)
    frames[-1]["last"] = True
    return frames
