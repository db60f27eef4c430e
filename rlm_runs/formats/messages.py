"""Chat messages of eval files as turns: the model's text, its calls, and their results.

    prompt + completion → opening messages, then turns of calls with their results

Files differ in many ways: tool calls as objects or as JSON texts, results with or without the id of the call,
contents as text or as parts, and the prompt repeated at the start of the completion.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ..engine.events import Message, Role, ToolCall
from .records import Malformed, json_value


@dataclass(frozen=True)
class Result:
    """A tool call with the result that the model was shown; None without a result."""

    call: ToolCall
    shown: str | None


@dataclass(frozen=True)
class Turn:
    """One assistant message. `reply` is the host's message after the results, "" for none."""

    content: str
    reasoning: str
    results: Sequence[Result]
    reply: str

    @property
    def calls(self) -> list[ToolCall]:
        """The tool calls of the turn."""
        return [result.call for result in self.results]


@dataclass(frozen=True)
class Dialogue:
    """A conversation's opening messages and its turns."""

    opening: Sequence[Message]
    turns: Sequence[Turn]


def read_dialogue(prompt: Sequence[Message], completion: Any) -> Dialogue:
    """Returns a prompt and its completion, a list of messages or plain text, as a dialogue. Raises Malformed."""
    if isinstance(completion, str):
        completion = [{"role": "assistant", "content": completion}] if completion else []
    if not isinstance(completion, list):
        raise Malformed(f"completion must be a list of messages or a text, not {type(completion).__name__}")
    roles = [_role(message, f"completion[{index}]") for index, message in enumerate(completion)]
    starts = [index for index, role in enumerate(roles) if role == "assistant"]
    before = completion[: starts[0]] if starts else completion
    turns = [
        _turn(completion[start], completion[start + 1 : end], where=f"completion[{start}]")
        for start, end in pairwise([*starts, len(completion)])
    ]
    return Dialogue(_opening(prompt, [_message(message) for message in before]), turns)


def read_prompt(prompt: Any) -> list[Message]:
    """Returns the messages of a prompt, which may be plain text. Raises Malformed."""
    if isinstance(prompt, str):
        return [Message("user", prompt)]
    if not isinstance(prompt, list):
        raise Malformed(f"prompt must be a list of messages or a text, not {type(prompt).__name__}")
    for index, message in enumerate(prompt):
        _role(message, f"prompt[{index}]")
    return [_message(message) for message in prompt]


def _opening(prompt: Sequence[Message], before: Sequence[Message]) -> list[Message]:
    """Returns the opening of the conversation: the prompt, and further messages before the first turn."""
    if before and all(message in before for message in prompt):
        return list(before)
    return [*prompt, *(message for message in before if message not in prompt)]


def _role(message: Any, where: str) -> str:
    role = message.get("role") if isinstance(message, Mapping) else None
    if not isinstance(role, str):
        raise Malformed(f"{where} is not a message with a role")
    return role


def _message(raw: Mapping[str, Any]) -> Message:
    """Returns an opening message. A message that is neither the system's nor a worked example is the user's."""
    known: dict[str, Role] = {"system": "system", "developer": "system", "assistant": "assistant"}
    return Message(known.get(raw["role"], "user"), _text(raw.get("content")))


def _turn(said: Mapping[str, Any], behind: Sequence[Mapping[str, Any]], *, where: str) -> Turn:
    """Returns the turn of an assistant message and the messages up to the next one.

    Results are matched by the id of their call, else by order. A result that matches no call belongs to the host.
    """
    calls = _tool_calls(said, where)
    ids = {call.id for call in calls if call.id}
    results = [(str(raw.get("tool_call_id") or ""), _text(raw.get("content"))) for raw in _tools(behind)]
    by_id = {key: shown for key, shown in results if key in ids}
    unmatched = iter([shown for key, shown in results if key not in ids])
    matched = [Result(call, by_id[call.id] if call.id in by_id else next(unmatched, None)) for call in calls]
    others = [_text(raw.get("content")) for raw in behind if raw["role"] != "tool"]
    reasoning = said.get("reasoning_content") or said.get("reasoning")
    return Turn(_text(said.get("content")), _text(reasoning), matched, "\n\n".join([*unmatched, *others]))


def _tools(messages: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [message for message in messages if message["role"] == "tool"]


def _text(content: Any) -> str:
    """Returns content as text. Parts of other kinds appear as their names in brackets."""
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, list):
        return "".join(map(_part, content))
    return json.dumps(content, ensure_ascii=False)


def _part(part: Any) -> str:
    if not isinstance(part, Mapping):
        return _text(part)
    text = part.get("text")
    return text if isinstance(text, str) else f"[{part.get('type', 'part')}]"


def _tool_calls(message: Mapping[str, Any], where: str) -> list[ToolCall]:
    calls = message.get("tool_calls") or []
    if not isinstance(calls, list):
        raise Malformed(f"{where}.tool_calls is not a list")
    return [_tool_call(call, f"{where}.tool_calls[{number}]") for number, call in enumerate(calls)]


def _tool_call(raw: Any, where: str) -> ToolCall:
    """Returns a call given as an object or as JSON text, with or without a surrounding `function`."""
    if isinstance(raw, str):
        try:
            raw = json_value(raw)
        except ValueError as error:
            raise Malformed(f"{where} is a text that is not valid JSON: {error}") from error
    function = raw.get("function", raw) if isinstance(raw, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise Malformed(f"{where} names no function")
    arguments = function.get("arguments", "")
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return ToolCall(id=str(raw.get("id") or ""), name=function["name"], arguments=text)
