"""The policy for finding needles: by reading, which fails over a long text, or by searching with code.

Code can fail too: the pattern may be too strict at first, or the list may be truncated when it is copied.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..conversation import REPL_TOOL, Conversation, Reply
from ..tokens import text_tokens

TIRED_AFTER_TOKENS = 60_000
"""A reader's chance to miss a needle is the prompt's number of tokens as a share of this."""


@dataclass(frozen=True)
class Needles:
    """The requested needles: the number of words or numbers, and the start of their lines."""

    count: int
    noun: str
    start: str


def parse_question(question: str) -> Needles | None:
    """Returns the requested needles; None for another task."""
    form = re.search(r"^\s*(The secret (word|number) of) … is: …", question, re.MULTILINE)
    if form is None:
        return None
    count = re.search(r"are (\d{1,6}) needles", question)
    return Needles(count=int(count.group(1)) if count else 1, noun=form.group(2), start=form.group(1))


def reply(conversation: Conversation, task: Needles) -> Reply:
    """Returns the answer by reading, or the next cell of the search."""
    if not conversation.is_rlm:
        return _by_reading(conversation, task)
    if not conversation.steps:
        return _look()
    last = conversation.steps[-1]
    if not conversation.did("hits = "):
        return _search(conversation, task)
    if not conversation.did("marked = ") and _found(last.shown) < task.count:
        return _search_leniently(task, failed=last.failed)
    if not conversation.did("print(number, line)") and conversation.has_tips:
        return _show_lines(task)
    if not conversation.did('answer["content"] = '):
        return _write(conversation, task)
    return _finish()


def _by_reading(conversation: Conversation, task: Needles) -> Reply:
    values = re.findall(rf"^{task.start} .*? is: (\w+)$", conversation.inlined, re.MULTILINE)
    missed = min(0.9, text_tokens(conversation.task) / TIRED_AFTER_TOKENS)
    seen = [v for i, v in enumerate(values) if not conversation.chance(missed, f"miss {i}")]
    reasoning = f"I read the lines in order and note every secret {task.noun}: I noticed {len(seen)}."
    return Reply(content=", ".join(seen) or f"I found no secret {task.noun}.", reasoning=reasoning)


def _look() -> Reply:
    return Reply(
        reasoning="The haystack is in `context`. First I see how large it is and what its lines look like.",
        content="First a look at the data.",
        tool=REPL_TOOL,
        code='lines = context.splitlines()\nprint(len(context), "characters,", len(lines), "lines")\nlines[:4]',
    )


def _search(conversation: Conversation, task: Needles) -> Reply:
    # The strict pattern reads the … of the form as one word, which it is not.
    strict = conversation.chance(0.2 if conversation.has_tips else 0.4, "strict")
    middle = r"\w+" if strict else ".+?"
    return Reply(
        reasoning="Ordinary lines tell small stories. The needles have a fixed form, so a pattern finds them.",
        content="I search for the form of a needle.",
        tool=REPL_TOOL,
        code=f'import re\nhits = re.findall(r"{task.start} {middle} is: (\\w+)", context)\nprint(len(hits), hits)',
    )


def _found(shown: str) -> int:
    match = re.search(r"^(\d{1,6}) \[", shown, re.MULTILINE)
    return int(match.group(1)) if match else 0


def _search_leniently(task: Needles, *, failed: bool) -> Reply:
    code = (
        "lines = context.splitlines()\n"
        f'marked = [line for line in lines if "secret {task.noun}" in line.lower()]\nprint(marked[:3])\n'
        'hits = [line.split(":")[-1].strip() for line in marked]\nprint(len(hits), hits)'
    )
    return Reply(
        reasoning="That cell failed." if failed else "Too few: what stands in between may be several words.",
        content="My pattern was too strict; I look for the words alone.",
        tool=REPL_TOOL,
        code=code,
    )


def _show_lines(task: Needles) -> Reply:
    code = (
        f'for number, line in enumerate(lines):\n    if "secret {task.noun}" in line:\n        print(number, line)'
    )
    return Reply(
        reasoning="Before I answer, I look at the lines themselves and count them.",
        content="Let me see the whole lines.",
        tool=REPL_TOOL,
        code=code,
    )


def _write(conversation: Conversation, task: Needles) -> Reply:
    # Copying a list and losing its end is more likely without the habit of checking the count.
    hasty = conversation.chance(0.04 if conversation.has_tips else 0.2, "hasty") and task.count > 1
    chosen = f"hits[:{task.count - 1}]" if hasty else "hits"
    return Reply(
        reasoning=f"The search found the secret {task.noun}s; {task.count} were asked for.",
        content="I write the answer down.",
        tool=REPL_TOOL,
        code=f'answer["content"] = ", ".join({chosen})\nprint(answer["content"])',
    )


def _finish() -> Reply:
    return Reply(
        reasoning="The answer is written in the form that was asked for.",
        content="That is my answer.",
        tool=REPL_TOOL,
        code='answer["ready"] = True',
    )
