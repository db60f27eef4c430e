"""An environment's tools as models call them: schemas for the API, and calls that cannot end a rollout.

Every fault of a call (its name, its arguments, the tool itself, its time) is reported to the model and stored, and
the rollout continues.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from .conversation import Conversation
from .environments.base import Tool
from .errors import Stopped
from .events import ExecutionEnded, ToolCall
from .rollout_context import RolloutContext
from .time_limit import CallFailed, call_within


class BadCall(Exception):
    """A tool call cannot be made. The message is for the model."""


def schema(*, name: str, description: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a tool's schema for the chat completions API."""
    return {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": dict(parameters)},
    }


def schemas(tools: Sequence[Tool]) -> tuple[dict[str, Any], ...]:
    """Returns the schemas of an environment's tools."""
    return tuple(
        schema(name=tool.name, description=tool.description, parameters=tool.parameters) for tool in tools
    )


def arguments_of(call: ToolCall, *, required: Sequence[str] = ()) -> dict[str, Any]:
    """Returns the arguments of a call. Raises BadCall if they are not a JSON object or if one is missing."""
    try:
        arguments = json.loads(call.arguments or "{}", strict=False)
    except ValueError as error:
        raise BadCall(f"the arguments of {call.name} are not valid JSON: {error}") from error
    if not isinstance(arguments, dict):
        raise BadCall(f"the arguments of {call.name} must be a JSON object")
    missing = [name for name in required if name not in arguments]
    if missing:
        raise BadCall(f"{call.name} needs {', '.join(missing)}")
    return arguments


class Toolbox:
    """The tools of one conversation. It makes their calls, each within `time_limit` seconds."""

    def __init__(self, run: RolloutContext, tools: Sequence[Tool], *, time_limit: float) -> None:
        self._run = run
        self._tools = {tool.name: tool for tool in tools}
        self._time_limit = time_limit
        self.schemas = schemas(tools)

    def __contains__(self, name: str) -> bool:
        return name in self._tools

    def __iter__(self) -> Iterator[str]:
        return iter(self._tools)

    def call(self, conversation: Conversation, call: ToolCall, *, position: int) -> None:
        """Makes a call of the conversation's last turn and adds its result. Raises Stopped."""
        if _replay_result(conversation, call, position=position):
            return
        with _recorded(self._run, conversation, call, position=position) as execution:
            try:
                execution.shown = self._result(call)
            except (BadCall, CallFailed) as failure:
                execution.fail(failure)
        conversation.add_result(call, execution.shown)

    def _result(self, call: ToolCall) -> str:
        tool = self._tools.get(call.name)
        if tool is None:
            raise BadCall(f"there is no tool {call.name!r}; there are: {', '.join(self._tools) or 'none'}")
        arguments = arguments_of(call, required=tool.parameters.get("required", ()))
        result: object = call_within(
            self._time_limit, partial(tool.call, **arguments), run=self._run, name=tool.name
        )
        if not isinstance(result, str):  # a custom environment may return something else
            raise BadCall(f"{tool.name} returned no text, but {type(result).__name__}")
        return result


def refuse(run: RolloutContext, conversation: Conversation, call: ToolCall, *, position: int, why: str) -> None:
    """Stores a call that is not made, and tells the model why."""
    if _replay_result(conversation, call, position=position):
        return
    with _recorded(run, conversation, call, position=position) as execution:
        execution.fail(BadCall(why))
    conversation.add_result(call, execution.shown)


def _replay_result(conversation: Conversation, call: ToolCall, *, position: int) -> bool:
    """Adds the recorded result of a call, if there is one. The tool is then not called."""
    recorded = conversation.recorded_end_of(position=position)
    if recorded is None:
        return False
    conversation.begin_execution(call, kind="tool", position=position)
    conversation.add_result(call, recorded.shown)
    return True


@dataclass
class ToolCallRecord:
    """A tool call between its two events."""

    shown: str = ""
    error_type: str = ""
    error_message: str = ""
    timed_out: bool = False

    def fail(self, failure: Exception) -> None:
        """Reports the failure to the model and to the store."""
        self.error_message = str(failure)
        self.shown = f"Error: {failure}"
        self.error_type = type(failure).__name__
        if isinstance(failure, CallFailed):
            self.error_type, self.timed_out = failure.error_type, failure.timed_out


@contextmanager
def _recorded(
    run: RolloutContext, conversation: Conversation, call: ToolCall, *, position: int
) -> Iterator[ToolCallRecord]:
    """Records the start and the end of a tool call around its body."""
    key = conversation.begin_execution(call, kind="tool", position=position)
    began, execution = time.monotonic(), ToolCallRecord()
    try:
        yield execution
    except Stopped as stopped:
        execution.fail(stopped)
        raise
    finally:
        run.emit(
            ExecutionEnded(
                key=key,
                seconds=time.monotonic() - began,
                output=execution.shown,
                shown=execution.shown,
                output_chars=len(execution.shown),
                error_type=execution.error_type,
                error_message=execution.error_message,
                timed_out=execution.timed_out,
            )
        )
