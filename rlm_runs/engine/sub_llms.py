"""The sub-LLMs of a rollout: each prompt of an `llm_batch` is a conversation of its own, in a bounded pool."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from sandbox.contract import Batch

from .clients.base import Completion
from .conversation import Conversation, no_reply
from .environments.base import Tool
from .environments.boxed import unboxed
from .errors import RolloutFailure
from .events import Message
from .run import Run
from .toolbox import Toolbox, refuse

SYSTEM_PROMPT = (Path(__file__).parent / "scaffolds/prompts/sub_llm_system.txt").read_text().strip()
_LAST_CALL = "You have used all your turns with tools. Give your final answer now, in \\boxed{}."


@dataclass(frozen=True)
class SubAnswer:
    """What one sub-LLM returned, and the line of the summary that tells of it."""

    text: str
    tokens: int
    tool_calls: int
    seconds: float
    mark: str

    def line(self, position: int) -> str:
        """`  [0]: 1204 tokens, 2 tool calls, 3.10s ✓`."""
        return (
            f"  [{position}]: {self.tokens} tokens, {self.tool_calls} tool calls, {self.seconds:.2f}s {self.mark}"
        )


class SubLlms:
    """Answers the batches of one rollout's cells."""

    def __init__(self, run: Run, *, tools: Sequence[Tool], parallelism: int, max_turns: int) -> None:
        self._run = run
        self._tools = tools
        self._max_turns = max_turns
        self._pool = ThreadPoolExecutor(parallelism, thread_name_prefix="sub-llm")

    def serve(self, batch: Batch, *, parent: int, number: int) -> None:
        """Starts the calls of a batch and returns at once. `number` is the batch's in its cell, from 0."""
        began = time.monotonic()
        lines: dict[int, str] = {}
        lock = threading.Lock()

        def one(position: int, prompt: str) -> None:
            if batch.cancelled.is_set():
                return
            answer = self._answer(prompt, parent=parent, batch=number, position=position)
            batch.answer(position, answer.text)
            with lock:
                lines[position] = answer.line(position)
                last = len(lines) == len(batch.prompts)
            if last:
                batch.finish(_summary(lines, seconds=time.monotonic() - began))

        if not batch.prompts:
            batch.finish(_summary({}, seconds=0.0))
        for position, prompt in enumerate(batch.prompts):
            self._pool.submit(one, position, prompt).add_done_callback(self._fail_with)

    def close(self) -> None:
        """Waits for the calls that are under way, recording what they did; those that wait are dropped."""
        self._run.finish(self._pool)

    def _fail_with(self, future: Future[None]) -> None:
        """An error of ours in a thread must not leave the cell waiting: it ends the rollout."""
        if not future.cancelled() and (error := future.exception()) is not None:
            self._run.fail(error)

    def _answer(self, prompt: str, *, parent: int, batch: int, position: int) -> SubAnswer:
        began = time.monotonic()
        try:
            self._run.budget.take_sub_call()
        except RolloutFailure as failure:
            return SubAnswer(f"Error: {failure}", 0, 0, 0.0, f"✗ {failure.stop_reason}")
        toolbox = Toolbox(self._run, self._tools)
        conversation = Conversation(
            self._run,
            kind="sub",
            opening=[Message("system", SYSTEM_PROMPT), Message("user", prompt)],
            tools=toolbox.schemas,
            parent=parent,
            batch=batch,
            position=position,
        )
        try:
            text, stop_reason = self._converse(conversation, toolbox)
        except RolloutFailure as failure:
            conversation.end(stop_reason=failure.stop_reason, error=str(failure))
            text, mark = f"Error: {failure}", f"✗ {failure.stop_reason}"
        else:
            conversation.end(stop_reason=stop_reason, answer=text)
            mark = "⚠ max turns" if stop_reason == "max_turns" else "✓"
        return SubAnswer(text, conversation.tokens, toolbox.calls, time.monotonic() - began, mark)

    def _converse(self, conversation: Conversation, toolbox: Toolbox) -> tuple[str, str]:
        """The answer and the stop reason."""
        turns_with_tools = self._max_turns if self._tools else 0
        for turn in range(turns_with_tools):
            last = turn == turns_with_tools - 1
            completion = conversation.call(reply=_last_call if last else no_reply)
            if not completion.tool_calls:
                return unboxed(completion.content), "final_message"
            for position, call in enumerate(completion.tool_calls):
                toolbox.call(conversation, call, position=position)
        completion = conversation.call(with_tools=False)
        for position, call in enumerate(completion.tool_calls):
            refuse(self._run, conversation, call, position=position, why="no tool may be called now")
        return unboxed(completion.content), "max_turns" if turns_with_tools else "final_message"


def _last_call(completion: Completion) -> str:
    return _LAST_CALL if completion.tool_calls else ""


def _summary(lines: dict[int, str], *, seconds: float) -> str:
    head = f"llm_batch: {len(lines)} call(s) in {seconds:.2f}s"
    return "\n".join([head, *(lines[position] for position in sorted(lines))])
