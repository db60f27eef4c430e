"""One trajectory while it runs: its messages and model calls, each metered and recorded as an event.

If the rollout continues a recording, the conversation takes its recorded turns from there, without a call, and
does not meter or record them again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from .clients.base import Completion
from .clients.message_log import MessageLog
from .errors import CallAborted, ModelFailure, PromptTooLong, WindowExceeded
from .events import (
    ExecutionEnded,
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
from .replay import Difference, RecordingOver, recorded_end, recorded_failure
from .reported_cost import reported_cost
from .rollout_context import RolloutContext, now


def no_reply(_: Completion) -> str:
    """Returns "": the host has nothing to say."""
    return ""


@dataclass(frozen=True)
class ConversationResult:
    """A finished conversation's answer and stop reason."""

    answer: str
    stop_reason: str


class Conversation:
    """The messages between one model and the host. Used by one thread at a time.

    `tool_calls` counts the executions of the conversation.
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
        self.depth = depth
        recorded = run.replay.next_trajectory(kind, parent=parent, batch=batch, position=position)
        if recorded is not None:
            run.replay.compare_opening(recorded, opening=opening, tools=tools)
            opening = recorded.start.opening
        self._recorded = recorded
        self.started_at = recorded.start.at if recorded else now()
        self.ended_at = self.started_at
        self.key = recorded.start.key if recorded else run.new_key()
        self.model = {"root": run.models.main, "sub": run.models.sub, "judge": run.models.judge}[kind]
        self._sampling = {} if kind == "judge" else run.models.sampling
        self.turns = 0
        self.tool_calls = 0
        self.ended = False
        self.tokens = 0
        self._reply = ""
        self._tools = tools
        self._messages = MessageLog({"role": message.role, "content": message.content} for message in opening)
        if recorded is not None and recorded.end is not None:
            return  # an ended conversation is replayed only as a whole; nothing is added to it
        run.emit(
            TrajectoryStarted(
                key=self.key,
                at=self.started_at,
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
        """Makes one turn. `reply` returns the host's message after it (and after its tool results), or "".

        Raises ModelFailure or CallAborted after recording the failed turn, and BudgetSpent before a call that the
        budget does not allow.
        """
        run = self._run
        run.control.check()
        if (recorded := self._next_recorded()) is not None:
            return self._replayed_turn(recorded, reply=reply)
        run.replay.check_live()
        if self.kind != "judge":  # scoring does not count against the rollout's budget
            run.budget.check()
        self._add_reply()
        run.record_events()  # the last cell's output is stored before the model sees it
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
            self._record_failure(failure)
            if isinstance(failure, PromptTooLong) and self.turns > 1:
                raise WindowExceeded(str(failure)) from failure
            raise
        self._reply = reply(completion)
        self._record_turn(completion, reply=self._reply)
        self._messages.append(completion.message())
        return completion

    def begin_execution(self, call: ToolCall, *, kind: ExecutionKind, position: int) -> int:
        """Records that an execution of the last turn begins. Returns the key of the execution.

        A recorded execution that was cut off begins again under its key.
        """
        self.tool_calls += 1
        recorded = self._run.replay.execution(trajectory=self.key, turn=self.turns - 1, position=position)
        if recorded is not None and recorded.end is not None:
            return recorded.start.key
        self._run.replay.check_live()
        key = recorded.start.key if recorded else self._run.new_key()
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

    def recorded_end_of(self, *, position: int) -> ExecutionEnded | None:
        """Returns the recorded end of an execution of the last turn; None if the execution must run."""
        found = self._run.replay.execution(trajectory=self.key, turn=self.turns - 1, position=position)
        return found.end if found else None

    def add_result(self, call: ToolCall, shown: str) -> None:
        """Adds a tool call's result, as the model sees it."""
        self._messages.append({"role": "tool", "tool_call_id": call.id, "content": shown})

    def end(self, *, stop_reason: str, answer: str = "", error: str = "") -> None:
        """Records the end of the conversation. Later calls have no effect."""
        if self.ended:
            return
        self.ended = True
        if self._recorded is not None and self._recorded.end is not None:
            self.ended_at = self._recorded.end.at
            return
        self.ended_at = now()
        self._run.emit(
            TrajectoryEnded(key=self.key, at=self.ended_at, stop_reason=stop_reason, answer=answer, error=error)
        )

    @property
    def seconds(self) -> float:
        """Seconds from the conversation's start to its end, as stored."""
        return (self.ended_at - self.started_at).total_seconds()

    def _next_recorded(self) -> TurnEnded | None:
        """Returns the next recorded turn; None where the conversation is live.

        A call that failed without ending the conversation was cut off by a stop, and is made again.
        """
        recorded = self._recorded
        if recorded is None:
            return None
        while self.turns < len(recorded.turns):
            turn = recorded.turns[self.turns]
            ends = recorded.end is not None and turn is recorded.turns[-1]
            if not turn.error or ends:
                return turn
            self.turns += 1
        if recorded.end is None:
            return None
        if not recorded.end.error:
            told = Difference("another turn begins", "", "", depth=self.depth, turn=self.turns + 1)
            self._run.replay.differs(told)
            raise RecordingOver("the recording has no further turn")
        raise recorded_end(recorded)

    def _replayed_turn(self, turn: TurnEnded, *, reply: Callable[[Completion], str]) -> Completion:
        """Returns a turn from the recording. No call is made, and nothing is metered or recorded."""
        assert self._recorded is not None
        self._add_reply()
        self.turns += 1
        if turn.error:
            raise recorded_failure(turn, self._recorded)
        completion = Completion(
            content=turn.content,
            reasoning=turn.reasoning,
            tool_calls=turn.tool_calls,
            finish_reason=turn.finish_reason,
            usage=turn.usage,
            seconds=turn.seconds,
            retries=turn.retries,
            retry_seconds=turn.retry_seconds,
        )
        says = reply(completion)
        if says != turn.reply:
            what = "the host replied something else"
            self._run.replay.differs(Difference(what, turn.reply, says, depth=self.depth, turn=self.turns))
        self._reply = turn.reply
        self.tokens += (turn.usage.prompt or 0) + (turn.usage.completion or 0)
        self._messages.append(completion.message())
        return completion

    def _shown_live(self) -> AbstractContextManager[TurnSoFar | None]:
        """Shows a call in flight on the rollout's page. Sub-LLMs are only counted there."""
        return nullcontext() if self.kind == "sub" else self._run.live.turn(self.kind, self.turns)

    def _add_reply(self) -> None:
        if self._reply:
            self._messages.append({"role": "user", "content": self._reply})
            self._reply = ""

    def _record_turn(self, completion: Completion, *, reply: str) -> None:
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

    def _record_failure(self, failure: ModelFailure | CallAborted) -> None:
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
