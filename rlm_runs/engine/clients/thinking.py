"""Reasoning that a model writes into its content, between tags: `<think>…</think>answer`.

A server without a reasoning parser leaves it there. Exact matches, boxes and judges would read it as part of the
answer.
"""

from __future__ import annotations

import re
from typing import Literal

ThinkTags = Literal["auto", "on", "off"]

_NAMES = ("think", "thinking", "thought", "thoughts", "reasoning", "reason", "seed:think", "analysis")
_PAIRS = [
    *((f"<{name}>", f"</{name}>") for name in _NAMES),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),
]
_FINAL = re.compile(r"^(?:<\|(?:end|start)\|>|assistant|<\|channel\|>final<\|message\|>)+")
_HARMONY_END = re.compile(r"(?:<\|end\|>)?(?:<\|start\|>assistant)?$")
_OPENED_BY_TEMPLATE = re.compile(r"</(?:think|thinking)>|\[/THINK\]|◁/think▷")
"""Closing tags of models whose chat template writes the opening tag into the prompt."""


def split_thinking(content: str, *, tags: ThinkTags) -> tuple[str, str]:
    """Returns the content without its reasoning, and the reasoning.

    `auto` takes the blocks at the start of a turn, and the text before a closing tag that has no opening tag. `on`
    takes blocks anywhere. An unclosed block, truncated by a limit, extends to the end.
    """
    if tags == "off" or not content:
        return content, ""
    rest, thoughts = content, []
    while found := _block_at_start(rest):
        thought, rest = found
        thoughts.append(thought)
    if not thoughts and (closing := _unopened_tag(rest)):
        thoughts.append(rest[: closing.start()].strip())
        rest = rest[closing.end() :].lstrip()
    if tags == "on":
        rest = _without_blocks(rest, thoughts)
    return (rest, "\n\n".join(filter(None, thoughts))) if thoughts else (content, "")


def _block_at_start(content: str) -> tuple[str, str] | None:
    """Returns the block at the start of a text and the text after it; None if the text starts otherwise."""
    begun = content.lstrip()
    pair = next((pair for pair in _PAIRS if begun[: len(pair[0])].lower() == pair[0].lower()), None)
    if pair is None:
        return None
    inside = begun[len(pair[0]) :]
    at = inside.lower().find(pair[1].lower())
    thought, rest = (inside, "") if at < 0 else (inside[:at], inside[at + len(pair[1]) :])
    return _HARMONY_END.sub("", thought).strip(), _FINAL.sub("", rest.lstrip()) if rest else ""


def _unopened_tag(content: str) -> re.Match[str] | None:
    """Returns the first closing tag, if no tag opens before it and it is not quoted in code."""
    closing = _OPENED_BY_TEMPLATE.search(content)
    if closing is None:
        return None
    before = content[: closing.start()]
    opening = closing[0].replace("/", "", 1)
    line = before.rpartition("\n")[2]
    quoted = before.count("```") % 2 == 1 or line.count("`") % 2 == 1 or line.endswith(('"', "'"))
    return None if opening in before or quoted else closing


def _without_blocks(content: str, thoughts: list[str]) -> str:
    for opening, closing in _PAIRS:
        block = re.compile(f"{re.escape(opening)}(.*?)(?:{re.escape(closing)}|\\Z)", re.DOTALL | re.IGNORECASE)
        thoughts += [found.strip() for found in block.findall(content)]
        content = block.sub("", content)
    return content.strip() if thoughts else content
