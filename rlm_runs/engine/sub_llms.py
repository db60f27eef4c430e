"""The sub-LLMs of a rollout: each prompt of an `llm_batch` is a conversation in a bounded pool.

A sub-LLM may be an RLM whose cells call sub-LLMs in turn. Each depth has its own pool, so that a waiting call
waits only for the pool below, and the deepest pool waits for none. All depths share the limit of concurrent model
calls; a sub-LLM that waits for others makes none. When a rollout resumes, recorded calls are answered from the
recording.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, Protocol

from sandbox.contract import Batch, SandboxError

from .cancellation import CancellationToken
from .clients.gate import Gate, GatedClient
from .conversation import Conversation, ConversationResult
from .errors import RolloutFailure
from .events import Message
from .repl import BatchServer
from .replay import Difference, RecordingOver
from .rollout_context import RolloutContext
from .threads import ContextExecutor

_MARKS = {"final_message": "✓", "answer_ready": "✓", "max_turns": "⚠ max turns"}


class SubLlm(Protocol):
    """The respondent to one prompt: a plain model or an RLM."""

    @property
    def opening(self) -> Sequence[Message]:
        """The messages that open its conversation."""

    @property
    def tools(self) -> Sequence[Mapping[str, Any]]:
        """The schemas of its tools."""

    def converse(
        self, run: RolloutContext, conversation: Conversation, *, server: BatchServer | None
    ) -> ConversationResult:
        """Runs the conversation to its end. Raises RolloutFailure or SandboxError."""


@dataclass(frozen=True)
class SubCall:
    """One prompt of a batch, with its place in the trace."""

    prompt: str
    parent: int
    batch: int
    position: int
    depth: int


@dataclass(frozen=True)
class SubAnswer:
    """The answer of one sub-LLM, with the numbers of its line in the batch's summary.

    The numbers are the stored ones, so that a replay prints the same line. `span` is None if no call was made.
    """

    text: str
    tokens: int
    tool_calls: int
    span: tuple[datetime, datetime] | None
    mark: str

    @classmethod
    def refused(cls, failure: RolloutFailure) -> SubAnswer:
        """Returns the answer for a call that was not made."""
        return cls(f"Error: {failure}", 0, 0, None, f"✗ {failure.stop_reason}")

    def line(self, position: int) -> str:
        """Returns the line of the summary: `  [0]: 1204 tokens, 2 tool calls, 3.10s ✓`."""
        seconds = _seconds(*self.span) if self.span else 0.0
        return f"  [{position}]: {self.tokens} tokens, {self.tool_calls} tool calls, {seconds:.2f}s {self.mark}"


class SubLlms:
    """The sub-LLMs that answer the batches of one rollout's cells.

    `by_depth` creates the sub-LLM for a prompt at depth 1, 2 and so on. Below the last depth there are no
    sub-LLMs.
    """

    def __init__(
        self, run: RolloutContext, *, by_depth: Sequence[Callable[[str], SubLlm]], parallelism: int
    ) -> None:
        bounded = GatedClient(run.models.sub.client, Gate(concurrency=parallelism), check=run.budget.check)
        sub = replace(run.models.sub, client=bounded)
        self._run = replace(run, models=replace(run.models, sub=sub))
        self._by_depth = by_depth
        self._pools = [
            ContextExecutor(parallelism, thread_name_prefix=f"sub-llm-{depth}")
            for depth in range(1, len(by_depth) + 1)
        ]
        self._lock = threading.Lock()
        self._under_way: dict[int, list[CancellationToken]] = defaultdict(list)

    def below(self, depth: int) -> BatchServer | None:
        """Returns the server for the cells of an RLM at this depth; None at the last depth."""
        return _Level(self, depth=depth + 1) if depth < len(self._by_depth) else None

    def submit(self, depth: int, work: Callable[[], None]) -> None:
        """Runs work in the pool of a depth."""
        self._pools[depth - 1].submit(work).add_done_callback(self._fail_with)

    def answer(self, call: SubCall, *, cancelled: threading.Event) -> SubAnswer | None:
        """Returns the answer to a prompt; None if its cell no longer waits."""
        with self._stoppable(call) as control:
            # Checked after the registration, so that `abandon` stops any later cancellation.
            if cancelled.is_set():
                return None
            run = self._run.under(control)
            return self._answer(call, run, cancelled) if self._is_live(call) else self._replayed_answer(call, run)

    def abandon(self, parent: int) -> None:
        """See `BatchServer`."""
        with self._lock:
            controls = list(self._under_way.get(parent, ()))
        reason = self._run.control.reason or "abandoned"  # the cell may have ended because the rollout was stopped
        for control in controls:
            control.stop(reason)

    def close(self) -> None:
        """Drops waiting calls, waits for calls in flight, and records them."""
        with ExitStack() as stack:  # each pool is closed even if another one raises
            # Callbacks run in reverse, so the first depth ends first and submits nothing further down.
            for pool in reversed(self._pools):
                stack.callback(self._run.finish, pool)

    def _fail_with(self, future: Future[None]) -> None:
        """Hands an internal error of a thread to the rollout, which it ends, so that the cell does not wait
        forever.
        """
        if not future.cancelled() and (error := future.exception()) is not None:
            self._run.fail(error)

    @contextmanager
    def _stoppable(self, call: SubCall) -> Iterator[CancellationToken]:
        with self._run.control.child() as control:
            with self._lock:
                self._under_way[call.parent].append(control)
            try:
                yield control
            finally:
                with self._lock:
                    self._under_way[call.parent].remove(control)
                    if not self._under_way[call.parent]:
                        del self._under_way[call.parent]

    def _is_live(self, call: SubCall) -> bool:
        """Returns whether the call is made or continued now; false if the recording has its answer."""
        replay = self._run.replay
        recorded = replay.sub_call(parent=call.parent, batch=call.batch, position=call.position)
        if recorded is None:
            return replay.end_of(call.parent) is None
        return recorded.end is None or (replay.whole and recorded.end.stop_reason != "abandoned")

    def _replayed_answer(self, call: SubCall, run: RolloutContext) -> SubAnswer | None:
        """Returns the recorded answer; None if the cell ran out of time before there was one."""
        replay = run.replay
        recorded = replay.sub_call(parent=call.parent, batch=call.batch, position=call.position)
        if recorded is None:
            return self._unrecorded_call(call, run)
        sub_llm = self._by_depth[call.depth - 1](call.prompt)
        replay.compare_opening(recorded, opening=sub_llm.opening, tools=sub_llm.tools)
        end = recorded.end
        assert end is not None
        if end.stop_reason == "abandoned":
            return None
        usages = [turn.usage for turn in recorded.turns]
        return SubAnswer(
            f"Error: {end.error}" if end.error else end.answer or "",
            tokens=sum((usage.prompt or 0) + (usage.completion or 0) for usage in usages),
            tool_calls=replay.executions_of(recorded.start.key),
            span=(recorded.start.at, end.at),
            mark=_mark(end.stop_reason),
        )

    def _unrecorded_call(self, call: SubCall, run: RolloutContext) -> SubAnswer | None:
        """Returns the answer to a call that the recording of a finished cell lacks; None if the cell timed out.

        Otherwise the budget was spent, or the replay differs from the recording.
        """
        end = run.replay.end_of(call.parent)
        if end is not None and end.timed_out:
            return None
        try:
            run.budget.take_sub_call()
        except RolloutFailure as failure:
            return SubAnswer.refused(failure)
        run.replay.differs(
            Difference("a sub-LLM was asked that was not asked before", "", call.prompt, call.depth)
        )
        return SubAnswer.refused(RecordingOver("this call is not in the recording"))

    def _answer(self, call: SubCall, run: RolloutContext, cancelled: threading.Event) -> SubAnswer:
        recorded = run.replay.sub_call(parent=call.parent, batch=call.batch, position=call.position)
        try:
            if recorded is None:
                run.budget.take_sub_call()
        except RolloutFailure as failure:
            return SubAnswer.refused(failure)
        sub_llm = self._by_depth[call.depth - 1](call.prompt)
        conversation = Conversation(
            run,
            kind="sub",
            opening=sub_llm.opening,
            tools=sub_llm.tools,
            parent=call.parent,
            batch=call.batch,
            position=call.position,
            depth=call.depth,
        )
        try:
            ended = sub_llm.converse(run, conversation, server=self.below(call.depth))
        except (RolloutFailure, SandboxError) as failure:
            stop_reason, text = _reason_of(failure, run.control), f"Error: {failure}"
            conversation.end(stop_reason=stop_reason, error=str(failure))
        else:
            # A call in flight is metered to its end, but the cell has not seen its answer.
            stop_reason = "abandoned" if cancelled.is_set() else ended.stop_reason
            text = ended.answer
            conversation.end(stop_reason=stop_reason, answer=text)
        span = (conversation.started_at, conversation.ended_at)
        return SubAnswer(text, conversation.tokens, conversation.tool_calls, span, _mark(stop_reason))


@dataclass(frozen=True)
class _Level:
    """The sub-LLMs of one depth, as the cells above call them."""

    calls: SubLlms
    depth: int

    def serve(self, batch: Batch, *, parent: int, number: int) -> None:
        """See `BatchServer`."""
        answers: dict[int, SubAnswer] = {}
        lock = threading.Lock()

        def one(call: SubCall) -> None:
            answer = self.calls.answer(call, cancelled=batch.cancelled)
            if answer is None:
                return
            batch.answer(call.position, answer.text)
            with lock:
                answers[call.position] = answer
                last = len(answers) == len(batch.prompts)
            if last:
                batch.finish(_summary(answers))

        if not batch.prompts:
            batch.finish(_summary({}))
        for position, prompt in enumerate(batch.prompts):
            call = SubCall(prompt, parent=parent, batch=number, position=position, depth=self.depth)
            self.calls.submit(self.depth, partial(one, call))

    def abandon(self, parent: int) -> None:
        """See `BatchServer`."""
        self.calls.abandon(parent)


def _reason_of(failure: RolloutFailure | SandboxError, control: CancellationToken) -> str:
    if isinstance(failure, RolloutFailure):
        return failure.stop_reason
    return control.reason or "sandbox_error"  # the sandbox may be gone because the call was stopped


def _mark(stop_reason: str) -> str:
    return _MARKS.get(stop_reason, f"✗ {stop_reason}")


def _seconds(began: datetime, ended: datetime) -> float:
    return (ended - began).total_seconds()


def _summary(answers: Mapping[int, SubAnswer]) -> str:
    """Returns the batch's summary. Its seconds run from the first call's start to the last call's end."""
    spans = [answer.span for answer in answers.values() if answer.span]
    seconds = _seconds(min(began for began, _ in spans), max(ended for _, ended in spans)) if spans else 0.0
    head = f"llm_batch: {len(answers)} call(s) in {seconds:.2f}s"
    return "\n".join([head, *(answers[position].line(position) for position in sorted(answers))])
