"""The policy for research questions: alone with search and open, or from a REPL through sub-LLMs.

Alone, the model follows one trail after the other and often mistakes the first result for the right one. In a REPL
without tips, it gives the question or its trails to sub-LLMs once and believes them. With tips, it reads each
trail twice, checks every clue on the page, and reads disputed trails again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..conversation import REPL_TOOL, Conversation, Reply
from . import deepdive_cells as cells
from .research import Found, Habits, follow, notes_of

CARELESS_ALONE = 0.75
CARELESS_SUB_LLM = 0.25
CARELESS_TOLD_TO_CHECK = 0.03
SLIPS_ALONE = 0.13
SLIPS = 0.07
WHOLE = 0.3
"""The share of rollouts without tips in which one sub-LLM gets the whole question."""

TO_CHECK = "fits every clue"
"""Text of a prompt that asks to check clues."""


@dataclass(frozen=True)
class Question:
    """A parsed question: its trails, and whether it asks for a name, a year or the oldest end."""

    trails: tuple[str, ...]
    asks: str


def parse_question(question: str) -> Question | None:
    """Returns the parsed task; None for another task."""
    if "search for pages" not in question and "searching and opening pages" not in question:
        return None
    numbered = re.findall(r"^Trail \d+: (.+)$", question, re.MULTILINE)
    if numbered:
        return Question(tuple(numbered), "oldest" if len(numbered) > 1 else "name and year")
    single = re.search(r"^(An? .+?\.) (What is the (?:name|title)|In which year)\b.*\?$", question, re.MULTILINE)
    return Question((single[1],), "year" if "year" in single[2] else "name") if single else None


def reply(conversation: Conversation, task: Question) -> Reply:
    """Returns the next step of the root model."""
    if not conversation.is_rlm:
        found = _research(conversation, task, careless=CARELESS_ALONE, slips=SLIPS_ALONE)
        if isinstance(found, Reply):
            return found
        return Reply(
            content=f"I followed what I could.\n\nAnswer: {_answer(task, found)}", reasoning=_describe_ends(found)
        )
    if conversation.did('answer["content"] = '):
        return _cell('answer["ready"] = True', "That is my answer.", "It is written down, as short as asked for.")
    return _with_tips(conversation, task) if conversation.has_tips else _without_tips(conversation, task)


def reply_as_sub_llm(conversation: Conversation, task: Question) -> Reply:
    """Returns the next step of a sub-LLM, or its answer in a box."""
    careless = CARELESS_TOLD_TO_CHECK if TO_CHECK in conversation.task else CARELESS_SUB_LLM
    found = _research(conversation, task, careless=careless, slips=SLIPS)
    if isinstance(found, Reply):
        return found
    if task.asks == "name and year":
        (end,) = found
        said = f"{end.name}; {end.year}" if end.name and end.year else "not found"
    else:
        said = _answer(task, found)
    return Reply(content=f"\\boxed{{{said}}}", reasoning=_describe_ends(found))


def _research(conversation: Conversation, task: Question, *, careless: float, slips: float) -> Reply | list[Found]:
    """Returns the next call of a tool; all ends, if no call is needed or allowed."""
    notes, ends = notes_of(conversation.steps), []
    for trail in task.trails:
        careful = conversation.steady_rng(f"careless {trail}").random() >= careless
        step = follow(trail, notes, Habits(careful=careful, slips=slips, rng=conversation.steady_rng))
        if isinstance(step, Reply) and step.tool in conversation.tools:
            return step
        ends.append(step if isinstance(step, Found) else Found())
    return ends


def _answer(task: Question, ends: list[Found]) -> str:
    known = [end for end in ends if end.name]
    if not known:
        return "unknown"
    if task.asks == "year":
        return str(known[0].year or "unknown")
    return min(known, key=lambda end: end.year or 9999).name


def _describe_ends(ends: list[Found]) -> str:
    told = [f"{end.name} ({end.year})" if end.name else "lost" for end in ends]
    return f"Where the trails end: {'; '.join(told)}."


def _without_tips(conversation: Conversation, task: Question) -> Reply:
    whole = conversation.chance(WHOLE, "whole")
    if not conversation.steps:
        if whole:
            return _cell(
                cells.filled(cells.ASK_WHOLE, question=repr(conversation.question.strip())),
                "I give the question to a sub-LLM, since it can search.",
                "I have no tools of my own. A sub-LLM sees only its prompt, so it gets the question in full.",
            )
        return _cell(
            cells.filled(cells.ASK_TRAILS, trails=_trail_literal(task)),
            "I give each trail to a sub-LLM.",
            "The trails do not depend on each other, so they can be followed in parallel.",
        )
    if whole:
        return _cell(cells.WRITE_WHOLE, "That is what it found.", "It searched, so I take its word for it.")
    if not conversation.did("ends = ") or conversation.steps[-1].failed:
        hasty = conversation.chance(0.3, "hasty parse") and not conversation.did("ends = ")
        return _cell(
            cells.PARSE_HASTILY if hasty else cells.PARSE,
            "Now I take the answers apart.",
            "Each should be a name and a year." if hasty else "An answer may be missing; only whole ones count.",
        )
    return _write(task)


def _with_tips(conversation: Conversation, task: Question) -> Reply:
    if not conversation.did("trails = "):
        return _cell(
            cells.filled(cells.DECOMPOSE, trails=_trail_literal(task)),
            "First I decompose the question.",
            "What hangs on what: each trail goes step by step, but the trails are independent of each other.",
        )
    if not conversation.did("found = "):
        return _cell(
            cells.ASK_TWICE,
            "Each trail goes to two sub-LLMs that do not know of each other, all in one batch.",
            "Each prompt holds all the clues, the form of the answer, and says to check the clues on the page.",
        )
    if not conversation.did("disputed = "):
        return _cell(
            cells.COMPARE,
            "I put the findings side by side.",
            "Where two readers agree on name and year, I believe them.",
        )
    disputed = re.search(r"^(\d+) disputed", conversation.steps[-1].shown, re.MULTILINE)
    if disputed and int(disputed[1]) > 0 and not conversation.did("third = "):
        return _cell(
            cells.ASK_AGAIN,
            "What is disputed is read once more.",
            f"{disputed[1]} of the trails came back with two answers. More readers decide.",
        )
    if not conversation.did("ends = "):
        return _cell(cells.SETTLE, "For each trail the answer that most readers gave.", "Now I synthesise.")
    return _write(task)


def _write(task: Question) -> Reply:
    return _cell(
        cells.filled(cells.WRITE, result=cells.RESULTS[task.asks]),
        "I write the answer down.",
        "The question asks for one thing only.",
    )


def _trail_literal(task: Question) -> str:
    return "[\n" + "".join(f"    {trail!r},\n" for trail in task.trails) + "]"


def _cell(code: str, content: str, reasoning: str) -> Reply:
    return Reply(content=content, reasoning=reasoning, tool=REPL_TOOL, code=code)
