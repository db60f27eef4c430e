"""Fenced blocks in a model's text: how a model without tool calling calls tools. Reads and writes them.

    ```repl
    print(len(context))
    ```

A block fenced as `repl` is a cell; a block fenced as `tool` is a JSON object with `name` and `arguments`. A longer
fence may contain shorter ones. The text is read line by line, in linear time whatever the model wrote.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_OPENING = re.compile(r"(`{3,})(repl|tool)[^\S\n]*")
_NAME = re.compile(r'"name"\s*:\s*"([^"]{1,100})"')


@dataclass(frozen=True)
class Block:
    """A fenced block. `start` is the offset of its fence in the text; `closed` says whether its end fence was
    found.
    """

    kind: str
    body: str
    start: int
    closed: bool


@dataclass(frozen=True)
class FencedCall:
    """A tool's name and its arguments as JSON text, which may be malformed."""

    name: str
    arguments: str


def blocks(text: str) -> Iterator[Block]:
    """Yields the blocks of a text, in order."""
    fence, kind, start, at = "", "", 0, 0
    body: list[str] = []
    for line in text.split("\n"):
        opening = None if fence else _OPENING.fullmatch(line)
        if opening is not None:
            fence, kind, start, body = opening[1], opening[2], at, []
        elif fence and line.rstrip() == fence:
            yield Block(kind, "\n".join(body), start, closed=True)
            fence = ""
        elif fence:
            body.append(line)
        at += len(line) + 1
    if fence:
        yield Block(kind, "\n".join(body), start, closed=False)


def call_of(block: Block, *, cell_tool: str) -> FencedCall:
    """Returns the call of a block. `cell_tool` is the tool that runs cells, "" without one."""
    if block.kind == "repl":
        return FencedCall(cell_tool or block.kind, json.dumps({"code": block.body}, ensure_ascii=False))
    try:
        asked = json.loads(block.body, strict=False)
    except (ValueError, RecursionError):
        asked = None
    if isinstance(asked, dict) and isinstance(asked.get("name"), str):
        return FencedCall(asked["name"], json.dumps(asked.get("arguments", {}), ensure_ascii=False))
    # The tool itself reports errors in its arguments.
    named = _NAME.search(block.body)
    return FencedCall(named[1] if named else "tool", block.body)


def written(calls: Sequence[FencedCall], *, cell_tool: str) -> str:
    """Returns the text of the blocks that make these calls."""
    return "\n".join(_fenced(call, cell_tool=cell_tool) for call in calls)


def _fenced(call: FencedCall, *, cell_tool: str) -> str:
    kind, body = "tool", f'{{"name": {json.dumps(call.name)}, "arguments": {call.arguments or "{}"}}}'
    if call.name == cell_tool and (code := _code_of(call.arguments)) is not None:
        kind, body = "repl", code
    longest = max((len(run) for run in re.findall(r"^`{3,}", body, re.MULTILINE)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{kind}\n{body}\n{fence}"


def _code_of(arguments: str) -> str | None:
    try:
        found = json.loads(arguments, strict=False)
    except (ValueError, RecursionError):
        return None
    code = found.get("code") if isinstance(found, dict) else None
    return code if isinstance(code, str) else None
