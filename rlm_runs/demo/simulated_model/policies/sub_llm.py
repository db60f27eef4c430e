"""The demo model as a sub-LLM: it does research, classifies the messages of its prompt, or cannot help."""

from __future__ import annotations

import re

from ..conversation import Conversation, Reply
from . import deepdive
from .generic import UNSURE
from .reading import read

SLIPS = 0.012
"""The share of messages that a sub-LLM gets wrong."""
SKIPS = 0.1
"""The share of answers that omit one message."""


def reply(conversation: Conversation) -> Reply:
    """Returns the answer in a box, or a step of research."""
    research = deepdive.parse_question(conversation.task)
    if research is not None:
        return deepdive.reply_as_sub_llm(conversation, research)
    named = re.search(r"^Labels: (.+)$", conversation.task, re.MULTILINE)
    labels = [label.strip() for label in named.group(1).split(",") if label.strip()] if named else []
    messages = re.findall(r"^(\d+)\. (.+)$", conversation.task, re.MULTILINE)
    if not labels or not messages:
        return Reply(content=f"{UNSURE} \\boxed{{I do not know}}", reasoning=UNSURE)
    rng = conversation.rng("reading")
    given = {number: read(text, labels=labels, slips=SLIPS, rng=rng) for number, text in messages}
    if len(given) > 3 and conversation.chance(SKIPS, "skip"):
        given.pop(rng.choice(list(given)))
    answer = "; ".join(f"{number}: {label}" for number, label in given.items())
    return Reply(content=f"\\boxed{{{answer}}}", reasoning=_thoughts(messages, given))


def _thoughts(messages: list[tuple[str, str]], given: dict[str, str]) -> str:
    first = [f"{n}, {text[:60]!r}: {given[n]}." for n, text in messages[:5] if n in given]
    return f"I read each of the {len(messages)} messages for what it means. {' '.join(first)} And so on."
