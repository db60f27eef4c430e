"""A sub-LLM that is a plain model: it may call the environment's tools for some turns, then it must answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .clients.base import Completion
from .conversation import Conversation, ConversationResult, no_reply
from .environments.base import Tool
from .environments.boxed import unboxed
from .events import Message
from .repl import BatchServer
from .rollout_context import RolloutContext
from .toolbox import Toolbox, refuse, schemas

SYSTEM_PROMPT = (Path(__file__).parent / "scaffolds/prompts/sub_llm_system.txt").read_text().strip()
_LAST_CALL = "You have used all your turns with tools. Give your final answer now, in \\boxed{}."


class PlainSubLlm:
    """A `SubLlm` that is a plain model with tools. The answer is the content of the last box."""

    def __init__(self, prompt: str, *, tools: Sequence[Tool], max_turns: int, tool_time_limit: float) -> None:
        self.opening: Sequence[Message] = [Message("system", SYSTEM_PROMPT), Message("user", prompt)]
        self.tools: Sequence[Mapping[str, Any]] = schemas(tools)
        self._environment_tools = tools
        self._max_turns = max_turns
        self._tool_time_limit = tool_time_limit

    def converse(
        self, run: RolloutContext, conversation: Conversation, *, server: BatchServer | None
    ) -> ConversationResult:
        """See `SubLlm`."""
        toolbox = Toolbox(run, self._environment_tools, time_limit=self._tool_time_limit)
        turns_with_tools = self._max_turns if self.tools else 0
        for turn in range(turns_with_tools):
            last = turn == turns_with_tools - 1
            completion = conversation.call(reply=_last_call if last else no_reply)
            if not completion.tool_calls:
                return ConversationResult(unboxed(completion.content), "final_message")
            for position, call in enumerate(completion.tool_calls):
                toolbox.call(conversation, call, position=position)
        completion = conversation.call(with_tools=False)
        for position, call in enumerate(completion.tool_calls):
            refuse(run, conversation, call, position=position, why="no tool may be called now")
        return ConversationResult(
            unboxed(completion.content), "max_turns" if turns_with_tools else "final_message"
        )


def _last_call(completion: Completion) -> str:
    return _LAST_CALL if completion.tool_calls else ""
