"""The policy for generated maths problems: mentally, by one cell of code, or by code with a second check."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..conversation import PYTHON_TOOL, REPL_TOOL, Conversation, Reply
from .math_cells import KINDS, Kind, filled

HASTY_ALONE = 0.45
HASTY = 0.3
HASTY_WITH_TIPS = 0.25
"""With the tips, a second check finds almost all hasty mistakes."""
CHECK_SKIPPED = 0.15


@dataclass(frozen=True)
class Problem:
    """A question of a kind, with its numbers."""

    kind: Kind
    numbers: tuple[str, ...]


def parse_question(question: str) -> Problem | None:
    """Returns the parsed task; None for another task or an unknown kind of problem."""
    for kind in KINDS:
        match = re.search(kind.pattern, question)
        if match:
            return Problem(kind=kind, numbers=match.groups())
    return None


def reply(conversation: Conversation, task: Problem) -> Reply:
    """Returns the next cell, or the answer."""
    tool = REPL_TOOL if conversation.is_rlm else PYTHON_TOOL
    if tool not in conversation.tools:
        return Reply(content="I have no Python to compute with, so I leave it. \\boxed{0}")
    if not conversation.steps:
        share = HASTY_WITH_TIPS if conversation.has_tips else HASTY if conversation.is_rlm else HASTY_ALONE
        hasty = conversation.chance(share, "hasty")
        return _run(
            tool, task, task.kind.hasty if hasty else task.kind.right, "I compute it.", "Python does this exactly."
        )
    if conversation.has_tips and not conversation.did("other") and not conversation.chance(CHECK_SKIPPED, "skip"):
        return Reply(
            content="Before I trust that, I compute it a second way.",
            reasoning="A different method would hardly make the same mistake.",
            tool=tool,
            code=filled(task.kind.check, task.numbers) + "\nprint(result, other)\nresult == other",
        )
    if conversation.steps[-1].shown.rstrip().endswith("False"):
        return _run(tool, task, task.kind.right, "They differ: I look at it again.", "One of the two was hasty.")
    if not conversation.is_rlm:
        return _say(conversation)
    if not conversation.did('answer["content"]'):
        return Reply(
            content="I write it down.",
            reasoning="The result is exact, and in the form that was asked for.",
            tool=tool,
            code='answer["content"] = f"\\\\boxed{{{result}}}"\nanswer["content"]',
        )
    return Reply(
        content="That is my answer.", reasoning="Nothing is left to do.", tool=tool, code='answer["ready"] = True'
    )


def _run(tool: str, task: Problem, code: str, content: str, reasoning: str) -> Reply:
    return Reply(
        content=content, reasoning=reasoning, tool=tool, code=f"{filled(code, task.numbers)}\nprint(result)"
    )


def _say(conversation: Conversation) -> Reply:
    shown = conversation.steps[-1].shown.strip().splitlines() or ["0"]
    return Reply(
        content=f"The computation gives \\boxed{{{shown[-1][:200]}}}.", reasoning="I read the result off."
    )
