"""Tool calls for models without tool calling: text blocks on the wire, native calls everywhere else.

The text form is a detail of the wire. Scaffolds, events and the store know native calls only. The text that a
model received can always be derived: `as_text(prompt_of(turn), trajectory.tools)`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..cancellation import CancellationToken
from ..events import ToolCall
from .base import Completion, Messages, ModelClient, ToolSchemas, Watcher
from .fences import FencedCall, blocks, call_of, written

_CELLS = """To call `{name}`, write the source of the cell in a fenced block:

```repl
print("hello")
```"""
_TOOLS = """To call a tool, write a fenced block that holds one JSON object:

```tool
{{"name": "{name}", "arguments": {{…}}}}
```

The tools, with the JSON schema of their arguments:
{tools}"""
_RULE = (
    "These blocks are the only way to make a call. You may write several; they are run in their order, and the "
    "next message tells you what came back. End your message behind the last block: what you write there in place "
    "of a result is not one."
)


class TextToolsClient:
    """A client for models that read and write text only. See `ModelClient`."""

    def __init__(self, client: ModelClient) -> None:
        self._client = client

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
        """See `ModelClient`."""
        completion = self._client.complete(
            model=model, messages=as_text(messages, tools), sampling=sampling, control=control, watcher=watcher
        )
        if not tools:
            return completion
        turn = sum(message["role"] == "assistant" for message in messages)
        return _with_calls(completion, cell_tool=_cell_tool(tools), turn=turn)


def as_text(messages: Messages, tools: ToolSchemas) -> list[dict[str, Any]]:
    """Returns the conversation without tool calls, with alternating roles, and the tools in the system message."""
    cell_tool = _cell_tool(tools) or _cell_tool_of(messages)
    told: list[dict[str, Any]] = []
    results = 0
    for message in messages:
        role, content = message["role"], message["content"]
        results = results + 1 if role == "tool" else 0
        if role == "tool":
            role, content = "user", f"Result {results}:\n{content}"
        elif calls := message.get("tool_calls"):
            content = _text_of(content, [_parsed_call(call) for call in calls], cell_tool=cell_tool)
        if role == "user" and told and told[-1]["role"] == "user":
            told[-1] = {"role": "user", "content": f"{told[-1]['content']}\n\n{content}"}
        else:
            told.append({"role": role, "content": content})
    return _with_instructions(told, tools, cell_tool=cell_tool)


def _with_calls(completion: Completion, *, cell_tool: str, turn: int) -> Completion:
    """Returns the completion with its blocks as calls. A block that a token limit truncated is not a call."""
    text = completion.content.rstrip()
    found = [block for block in blocks(text) if block.closed or completion.finish_reason != "length"]
    if not found:
        return completion
    calls = [call_of(block, cell_tool=cell_tool) for block in found]
    # `_text_of` must give back the model's own text to the letter. The blocks are removed only if they end the
    # text exactly as `_text_of` would write them.
    prose = text[: found[0].start]
    content = prose if _text_of(prose, calls, cell_tool=cell_tool) == text else text
    return replace(
        completion,
        content=content,
        tool_calls=tuple(
            ToolCall(id=f"call_{turn}_{number}", name=call.name, arguments=call.arguments)
            for number, call in enumerate(calls)
        ),
    )


def _text_of(content: str, calls: Sequence[FencedCall], *, cell_tool: str) -> str:
    """Returns a message with its calls as blocks; unchanged if it contains them already."""
    held = [call_of(block, cell_tool=cell_tool) for block in blocks(content)]
    if held[: len(calls)] == list(calls):  # a block that a token limit truncated may follow them
        return content
    return content + written(calls, cell_tool=cell_tool)


def _parsed_call(call: Mapping[str, Any]) -> FencedCall:
    return FencedCall(call["function"]["name"], call["function"]["arguments"])


def _cell_tool(tools: ToolSchemas) -> str:
    """Returns the name of the tool that takes only a cell's source; "" without one."""
    functions = (tool["function"] for tool in tools)
    return next((str(found["name"]) for found in functions if list(_properties(found)) == ["code"]), "")


def _cell_tool_of(messages: Messages) -> str:
    """Returns the cell tool from earlier calls, for turns that no longer offer tools."""
    for message in messages:
        for call in message.get("tool_calls", ()):
            if call["function"]["arguments"].lstrip().startswith('{"code"'):
                return str(call["function"]["name"])
    return ""


def _properties(function: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = function.get("parameters", {}).get("properties", {})
    return found


def _with_instructions(
    messages: list[dict[str, Any]], tools: ToolSchemas, *, cell_tool: str
) -> list[dict[str, Any]]:
    if not tools:
        return messages
    others = [tool["function"] for tool in tools if tool["function"]["name"] != cell_tool]
    parts = [_CELLS.format(name=cell_tool)] if cell_tool else []
    if others:
        parts.append(_TOOLS.format(name=others[0]["name"], tools="\n".join(map(_line, others))))
    text = "\n\n".join([*parts, _RULE])
    if messages and messages[0]["role"] == "system":
        return [{"role": "system", "content": f"{messages[0]['content']}\n\n{text}"}, *messages[1:]]
    return [{"role": "system", "content": text}, *messages]


def _line(function: Mapping[str, Any]) -> str:
    # Sorted, because a store may not keep the order of keys and the text must be derivable from it.
    parameters = json.dumps(function.get("parameters", {}), ensure_ascii=False, sort_keys=True)
    return f"- `{function['name']}`: {function.get('description', '')} {parameters}"
