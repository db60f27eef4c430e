"""The demo model as a sub-LLM: classifies the numbered messages of its prompt, or says that it cannot help."""

from __future__ import annotations

import re

from rlm_runs.demo_model.conversation import Conversation, Reply
from rlm_runs.demo_model.policies.generic import UNSURE
from rlm_runs.demo_model.policies.reading import read

SLIPS = 0.012
"""Share of the messages that a sub-LLM gets wrong."""


def reply(conversation: Conversation) -> Reply:
    """The answer, in a box."""
    labels = re.search(r"^Labels: (.+)$", conversation.task, re.MULTILINE)
    messages = re.findall(r"^(\d+)\. (.+)$", conversation.task, re.MULTILINE)
    if labels is None or not messages:
        return Reply(content=f"{UNSURE} \\boxed{{I do not know}}", reasoning=UNSURE)
    names = [label.strip() for label in labels.group(1).split(",")]
    rng = conversation.rng("reading")
    given = {n: read(text, labels=names, slips=SLIPS, rng=rng) for n, text in messages}
    if len(given) > 3 and conversation.chance(0.12, "lost line"):
        given.pop(rng.choice(list(given)))
    reasoning = " ".join(f"{n} asks or says what is {label}." for n, label in list(given.items())[:6])
    answer = "; ".join(f"{n}: {label}" for n, label in given.items())
    return Reply(content=f"\\boxed{{{answer}}}", reasoning=f"I read each message for what it means. {reasoning}")
