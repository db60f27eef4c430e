"""One trajectory while it runs: its messages and its model calls, each metered and recorded as an event."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from .clients.base import Completion
from .clients.message_log import MessageLog
from .errors import CallAborted, ModelFailure, PromptTooLong, WindowExceeded
from .events import (
    ExecutionKind,
    ExecutionStarted,
    Message,
    ToolCall,
    TrajectoryEnded,
    TrajectoryKind,
    TrajectoryStarted,
    TurnEnded,
)
from .live import TurnSoFar
from .reported_cost import reported_cost
from .rollout_context import RolloutContext, now


def no_reply(_: Completion) -> str:
    """The host has nothing to say."""
    return ""


@dataclass(frozen=True)
class ConversationResult:
    """The end of a conversation, with its answer."""

    answer: str
    stop_reason: str


class Conversation:
    """The messages between one model and the host. Used by one thread at a time.

    `tool_calls` counts its executions; the code that makes one counts it.
    """

    def __init__(
        self,
        run: RolloutContext,
        *,
        kind: TrajectoryKind,
        opening: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] = (),
        parent: int | None = None,
        batch: int | None = None,
        position: int | None = None,
        depth: int = 0,
    ) -> None:
        self._run = run
        self.kind = kind
        self.key = run.new_key()
        self.model = {"root": run.models.main, "sub": run.models.sub, "judge": run.models.judge}[kind]
        self._sampling = {} if kind == "judge" else run.models.sampling
        self.turns = 0
        self.tool_calls = 0
        self.ended = False
        self.tokens = 0
        self._reply = ""
        self._tools = tools
        self._messages = MessageLog({"role": message.role, "content": message.content} for message in opening)
        run.emit(
            TrajectoryStarted(
                key=self.key,
                at=now(),
                kind=kind,
                model=self.model.name,
                opening=opening,
                tools=tools,
                parent=parent,
                batch=batch,
                position=position,
                depth=depth,
            )
        )

    def call(self, *, with_tools: bool = True, reply: Callable[[Completion], str] = no_reply) -> Completion:
        """One turn. `reply` gives what the host says after it (and after the results of its tool calls), or "".

        Raises ModelFailure or CallAborted after telling the failed turn; BudgetSpent before a call that may not be
        made.
        """
        run = self._run
        run.control.check()
        if self.kind != "judge":  # scoring is no part of what a rollout may spend
            run.budget.check()
        self._add_reply()
        run.record_events()  # what the last cell showed is stored before the model thinks about it
        try:
            with self._shown_live() as watcher:
                completion = self.model.client.complete(
                    model=self.model.name,
                    messages=self._messages,
                    tools=self._tools if with_tools else (),
                    sampling=self._sampling,
                    control=run.control,
                    watcher=watcher,
                )
        except (ModelFailure, CallAborted) as failure:
            self._tell_failure(failure)
            if isinstance(failure, PromptTooLong) and self.turns > 1:
                raise WindowExceeded(str(failure)) from failure
            raise
        self._reply = reply(completion)
        self._tell(completion, reply=self._reply)
        self._messages.append(completion.message())
        return completion

    def begin_execution(self, call: ToolCall, *, kind: ExecutionKind, position: int) -> int:
        """Records that an execution of the last turn begins. Returns the key of the execution."""
        key = self._run.new_key()
        self._run.emit(
            ExecutionStarted(
                key=key,
                trajectory=self.key,
                turn=self.turns - 1,
                position=position,
                at=now(),
                kind=kind,
                name=call.name,
                call_id=call.id,
                arguments=call.arguments,
            )
        )
        return key

    def add_result(self, call: ToolCall, shown: str) -> None:
        """Adds what a tool call returned, as the model is to see it."""
        self._messages.append({"role": "tool", "tool_call_id": call.id, "content": shown})

    def end(self, *, stop_reason: str, answer: str = "", error: str = "") -> None:
        """Records the end of the conversation. Later calls have no effect."""
        if not self.ended:
            self.ended = True
            self._run.emit(
                TrajectoryEnded(key=self.key, at=now(), stop_reason=stop_reason, answer=answer, error=error)
            )

    def _shown_live(self) -> AbstractContextManager[TurnSoFar | None]:
        """A call in flight as the rollout's page shows it. Sub-LLMs are only counted there."""
        return nullcontext() if self.kind == "sub" else self._run.live.turn(self.kind, self.turns)

    def _add_reply(self) -> None:
        if self._reply:
            self._messages.append({"role": "user", "content": self._reply})
            self._reply = ""

    def _tell(self, completion: Completion, *, reply: str) -> None:
        at = now()
        cost = self._run.price(self.model.name, completion.usage, at)
        reported = reported_cost(completion.usage.raw)
        if self.kind != "judge":
            self._run.budget.charge(completion.usage, cost.dollars if cost else reported)
        self.tokens += (completion.usage.prompt or 0) + (completion.usage.completion or 0)
        self._run.emit(
            TurnEnded(
                trajectory=self.key,
                index=self.turns,
                at=at,
                seconds=completion.seconds,
                content=completion.content,
                reasoning=completion.reasoning,
                tool_calls=completion.tool_calls,
                finish_reason=completion.finish_reason,
                usage=completion.usage,
                cost=cost.dollars if cost else None,
                price_version=cost.version if cost else "",
                provider_cost=reported,
                retries=completion.retries,
                retry_seconds=completion.retry_seconds,
                failed_tries=completion.failed_tries,
                first_token_seconds=completion.first_token_seconds,
                tokens_per_second=completion.tokens_per_second,
                reply=reply,
            )
        )
        self.turns += 1

    def _tell_failure(self, failure: ModelFailure | CallAborted) -> None:
        self._run.emit(
            TurnEnded(
                trajectory=self.key,
                index=self.turns,
                at=now(),
                seconds=failure.tries.seconds,
                cost=failure.cost,
                retries=failure.tries.retries,
                retry_seconds=failure.tries.retry_seconds,
                failed_tries=tuple(failure.tries.failed),
                error=str(failure),
            )
        )
        self.turns += 1
