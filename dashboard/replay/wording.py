"""The wording of the replay: how an answer agrees with the gold answer, and a prompt as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rlm_runs.analysis.transcripts import Excerpt, code_of


def agreement(given: Excerpt, gold: Excerpt) -> str:
    """Returns how the answer compares with the gold answer; "" if a part of either is truncated."""
    if given.text == gold.text and not given.is_cut and not gold.is_cut:
        return "the same as the gold answer"
    pairs = enumerate(zip(given.text, gold.text, strict=False), start=1)
    place = next((at for at, (one, other) in pairs if one != other), min(len(given.text), len(gold.text)) + 1)
    if place > min(len(given.text), len(gold.text)) and (given.is_cut or gold.is_cut):
        return ""
    return f"first differs from the gold answer at character {place:,}"


def prompt_in_words(messages: Sequence[Mapping[str, Any]]) -> str:
    """Returns the messages of a prompt one after the other, each under its number and role."""
    return "\n\n".join(
        f"━━━ {number} · {message['role']} ━━━\n" + "\n".join(_message_parts(message))
        for number, message in enumerate(messages, start=1)
    )


def _message_parts(message: Mapping[str, Any]) -> Iterator[str]:
    if message["content"]:
        yield message["content"]
    for call in message.get("tool_calls", ()):
        arguments = call["function"]["arguments"]
        code, _ = code_of(Excerpt(text=arguments, chars=len(arguments)))
        yield f"▸ {call['function']['name']} ({call['id']})\n{code.text}"
