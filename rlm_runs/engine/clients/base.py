"""The protocol of a model client, and the completion that a client returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..cancellation import CancellationToken
from ..events import FailedTry, ToolCall, Usage

Messages = Sequence[Mapping[str, Any]]
ToolSchemas = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Completion:
    """A model's answer and the time it took. `seconds` includes `retry_seconds`, the time spent on failed tries.

    For a streamed answer, `first_token_seconds` is the time from the request to the first piece, and
    `tokens_per_second` is the rate of the tokens after it. Both are None if unknown.
    """

    content: str = ""
    reasoning: str = ""
    tool_calls: Sequence[ToolCall] = ()
    finish_reason: str = ""
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0
    retries: int = 0
    retry_seconds: float = 0.0
    failed_tries: Sequence[FailedTry] = ()
    first_token_seconds: float | None = None
    tokens_per_second: float | None = None

    def message(self) -> dict[str, Any]:
        """Returns the assistant message that later calls of the conversation send."""
        message: dict[str, Any] = {"role": "assistant", "content": self.content}
        if self.tool_calls:
            message["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }
                for call in self.tool_calls
            ]
        return message


class Watcher(Protocol):
    """A receiver of an answer while it is streamed."""

    def restart(self) -> None:
        """Discards what was shown, because another try begins."""

    def add(self, *, content: str = "", reasoning: str = "", arguments: str = "") -> None:
        """Adds the next pieces of the text, of the reasoning and of the arguments of tool calls."""


class ModelClient(Protocol):
    """A client of one endpoint. Thread-safe."""

    def complete(
        self,
        *,
        model: str,
        messages: Messages,
        tools: ToolSchemas = (),
        sampling: Mapping[str, Any],
        control: CancellationToken,
        watcher: Watcher | None = None,
    ) -> Completion:
        """Returns one chat completion, after retries where a retry may help.

        Raises PromptTooLong, BadCompletion or another ModelFailure, whose `tries` hold the time spent, and Stopped
        if the rollout is stopped during the call.
        """


@dataclass(frozen=True)
class Clients:
    """The clients of each role. A rollout without sub-LLMs or a judge does not use theirs."""

    main: ModelClient
    sub: ModelClient
    judge: ModelClient
