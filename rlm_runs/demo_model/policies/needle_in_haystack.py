"""Finding needles: by reading, which tires over a long text; or by searching with code, which does not.

By code things go wrong too: a pattern too strict at first, a list that is cut short when it is copied over.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rlm_runs.demo_model.conversation import REPL_TOOL, Conversation, Reply
from rlm_runs.demo_model.tokens import text_tokens

TIRED_AFTER_TOKENS = 55_000
"""A reader's chance to miss a needle is the prompt's length as a share of this."""


@dataclass(frozen=True)
class Wanted:
    """What the task asks for: so many words or numbers, in lines that begin like this."""

    count: int
    noun: str
    start: str


def wanted(question: str) -> Wanted | None:
    """Reads the task; None where it is another."""
    form = re.search(r"^\s*(The secret (word|number) of) … is: …", question, re.MULTILINE)
    if form is None:
        return None
    count = re.search(r"are (\d+) needles", question)
    return Wanted(count=int(count.group(1)) if count else 1, noun=form.group(2), start=form.group(1))


def reply(conversation: Conversation) -> Reply:
    """The answer by reading, or the next cell of the search."""
    task = wanted(conversation.question)
    assert task is not None
    if not conversation.is_rlm:
        return _by_reading(conversation, task)
    done = "\n".join(step.code for step in conversation.steps)
    last = conversation.steps[-1] if conversation.steps else None
    if last is None:
        return _look(conversation)
    if "hits = " not in done:
        return _search(conversation, task)
    if "hits = " in last.code and not _found(last.shown):
        return _search_leniently(task, failed=last.failed)
    if "enumerate(" not in done and conversation.has_tips:
        return _show_lines(task)
    return _finish(conversation, task)


def _by_reading(conversation: Conversation, task: Wanted) -> Reply:
    lines = re.findall(rf"^{task.start} .*? is: (\w+)$", conversation.inlined, re.MULTILINE)
    missed = min(0.9, text_tokens(conversation.task) / TIRED_AFTER_TOKENS)
    seen = [v for i, v in enumerate(lines) if not conversation.chance(missed, f"miss {i}")]
    reasoning = f"I read the lines in order and note every secret {task.noun}: I noticed {len(seen)}."
    return Reply(content=", ".join(seen) or f"I found no secret {task.noun}.", reasoning=reasoning)


def _look(conversation: Conversation) -> Reply:
    code = 'lines = context.splitlines()\nprint(len(context), "characters,", len(lines), "lines")\nlines[:4]'
    return Reply(
        reasoning="The haystack is in `context`. First I see how large it is and what its lines look like.",
        content="First a look at the data.",
        tool=REPL_TOOL,
        code=code,
    )


def _search(conversation: Conversation, task: Wanted) -> Reply:
    strict = conversation.chance(0.15 if conversation.has_tips else 0.4, "strict")
    # The strict pattern takes the … of the form for one word, which it is not.
    middle = r"\w+" if strict else ".+?"
    code = f'import re\nhits = re.findall(r"{task.start} {middle} is: (\\w+)", context)\nprint(len(hits), hits)'
    return Reply(
        reasoning="Ordinary lines tell small stories. The needles have a fixed form, so a pattern finds them.",
        content="I search for the form of a needle.",
        tool=REPL_TOOL,
        code=code,
    )


def _found(shown: str) -> bool:
    match = re.search(r"^(\d+) \[", shown, re.MULTILINE)
    return match is not None and int(match.group(1)) > 0


def _search_leniently(task: Wanted, *, failed: bool) -> Reply:
    noun = task.noun
    code = (
        f'marked = [line for line in lines if "secret {noun}" in line.lower()]\nprint(marked[:3])\n'
        'hits = [line.split(":")[-1].strip() for line in marked]\nprint(len(hits), hits)'
    )
    return Reply(
        reasoning="That cell failed." if failed else "No hit: what stands between may be several words.",
        content="My pattern was too strict; I look for the words alone.",
        tool=REPL_TOOL,
        code=code,
    )


def _show_lines(task: Wanted) -> Reply:
    code = (
        f'for number, line in enumerate(lines):\n    if "secret {task.noun}" in line:\n        print(number, line)'
    )
    return Reply(
        reasoning="Before I answer, I look at the lines themselves and count them.",
        content="Let me see the whole lines.",
        tool=REPL_TOOL,
        code=code,
    )


def _finish(conversation: Conversation, task: Wanted) -> Reply:
    # Copying over a list and losing its end: likelier without the habit of checking the count.
    hasty = conversation.chance(0.03 if conversation.has_tips else 0.15, "hasty") and task.count > 1
    chosen = f"hits[:{task.count - 1}]" if hasty else "hits"
    return Reply(
        reasoning=f"The search found the secret {task.noun}s; {task.count} were asked for.",
        content="These are the needles.",
        tool=REPL_TOOL,
        code=f'answer["content"] = ", ".join({chosen})\nanswer["ready"] = True\nanswer["content"]',
    )
