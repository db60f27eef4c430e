"""The policy for aggregate questions, with three ways to answer them.

Without a REPL, the model skims the list and estimates the counts. In a REPL without tips, it counts keywords by
code, which is exact work on a rough idea. With tips, sub-LLMs read the messages, and code counts their labels.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from dataclasses import dataclass

from ..conversation import REPL_TOOL, Conversation, Reply
from . import oolong_cells as cells
from .reading import read, understood

SKIMMING_SLIPS = 0.5
ESTIMATE_SPREAD = 0.3
"""The standard deviation of an estimated count, as a share of the count."""
LEAST_CHUNK = 20
MOST_CHUNKS = 14

KEYWORDS = {
    "abbreviation": ["stand for", "short for", "letters"],
    "person": ["who", "name", "inventor"],
    "location": ["where", "city", "mountain", "country", "capital"],
    "number": ["how many", "year", "how long", "population"],
    "entity": ["which", "colour", "food"],
    "description": ["how does", "why", "what is"],
    "positive": ["good", "great", "love", "perfect", "again"],
    "negative": ["bad", "back", "poor", "shame"],
    "mixed": ["though", "but", "half"],
    "refund": ["money", "charged", "refund", "cancel", "paid"],
    "delivery": ["courier", "order", "tracking", "deliver"],
    "account": ["password", "login", "profile"],
    "fault": ["noise", "display", "repair", "hot"],
    "praise": ["thank", "wonderful", "like"],
}
"""Keywords chosen before reading a message; about half of them are right."""


@dataclass(frozen=True)
class Question:
    """A parsed question. `what` is how the answer is found; the other fields filter the messages."""

    labels: tuple[str, ...]
    what: str
    label: str = ""
    other: str = ""
    user: str = ""
    since: str = ""


QUESTIONS: tuple[tuple[str, str], ...] = (
    ("user_count", r"How many messages of user (?P<user>\d+) have the label '(?P<label>[^']+)'"),
    (
        "since_count",
        r"How many messages of (?P<since>\w{3} \d\d, \d{4}) or later have the label '(?P<label>[^']+)'",
    ),
    ("count", r"How many messages have the label '(?P<label>[^']+)'"),
    ("most_label", r"Which label is the most frequent"),
    ("least_label", r"Which label is the least frequent"),
    ("comparison", r"Is the label '(?P<label>[^']+)' more common than.* as '(?P<other>[^']+)'"),
    ("most_user", r"Which user wrote the most messages with the label '(?P<label>[^']+)'"),
    ("most_date", r"On which date were the most messages with the label '(?P<label>[^']+)'"),
)


def parse_question(question: str) -> Question | None:
    """Returns the parsed task; None for another task or an unknown form of question."""
    labels = re.search(r"exactly one of these labels: (.+?)\.(?:\s|$)", question)
    names = tuple(re.findall(r"'([^']+)'", labels.group(1))) if labels else ()
    for what, pattern in QUESTIONS if names else ():
        match = re.search(pattern, question)
        if match:
            return Question(labels=names, what=what, **match.groupdict())
    return None


def reply(conversation: Conversation, task: Question) -> Reply:
    """Returns the estimate, or the next cell."""
    if not conversation.is_rlm:
        return _by_skimming(conversation, task)
    if not conversation.steps:
        return _look()
    last = conversation.steps[-1]
    if not conversation.did("records = ") or (last.failed and "records = " in last.code):
        return _parse(conversation)
    if conversation.did("result = "):
        return _finish(task)
    if "|| Label: " in conversation.steps[0].shown:
        return _aggregate(conversation, task, source="given")
    return _read_by_sub_llms(conversation, task) if conversation.has_tips else _guess(conversation, task)


def _by_skimming(conversation: Conversation, task: Question) -> Reply:
    rng = conversation.rng("skim")
    rows = [re.search(cells.LINE, line) for line in conversation.inlined.splitlines()]
    records = [
        (m[1], m[2], m[4] or read(m[3], labels=task.labels, slips=SKIMMING_SLIPS, rng=rng)) for m in rows if m
    ]
    return Reply(
        content=f"I went through the messages once.\n\nAnswer: {_estimate(task, records, rng=rng)}",
        reasoning=f"There are about {round(len(records), -1)} messages. I can only skim and estimate the counts.",
    )


def _estimate(task: Question, records: list[tuple[str, str, str]], *, rng: random.Random) -> str:
    """Returns the answer from estimated counts."""

    def felt(counts: Counter[str]) -> Counter[str]:
        return Counter({k: max(0, round(rng.gauss(n, ESTIMATE_SPREAD * n))) for k, n in counts.items()})

    labels = felt(Counter({label: sum(r[2] == label for r in records) for label in task.labels}))
    if task.what == "comparison":
        one, other = labels[task.label], labels[task.other]
        return "same frequency as" if one == other else f"{'more' if one > other else 'less'} common than"
    if task.what == "most_label":
        return max(labels, key=lambda label: labels[label])
    if task.what == "least_label":
        return min(labels, key=lambda label: labels[label])
    if task.what in ("most_user", "most_date"):
        column = 1 if task.what == "most_user" else 0
        winners = felt(Counter(r[column] for r in records if r[2] == task.label)).most_common(1)
        return winners[0][0] if winners else "unknown"
    chosen = [r for r in records if r[2] == task.label and task.user in ("", r[1])]
    share = rng.uniform(0.3, 0.7) if task.since else 1
    return str(felt(Counter({"all": round(share * len(chosen))}))["all"])


def _cell(code: str, *, content: str, reasoning: str) -> Reply:
    return Reply(content=content, reasoning=reasoning, tool=REPL_TOOL, code=code)


def _look() -> Reply:
    return _cell(
        cells.LOOK,
        content="First a look at the data.",
        reasoning="The list is in `context`. I need to know its size and the form of a line.",
    )


def _parse(conversation: Conversation) -> Reply:
    if conversation.did("records = "):
        return _cell(
            cells.PARSE,
            content="The separator is two bars; a pattern is safer.",
            reasoning="My split went wrong. I describe the whole line by a pattern, and count what it matches.",
        )
    careless = conversation.chance(0.35, "careless parse")
    return _cell(
        cells.PARSE_CARELESSLY if careless else cells.PARSE,
        content="I split the lines into records." if careless else "I parse the lines into records.",
        reasoning="Each line is a date, a user and a message, with bars between them.",
    )


def _guess(conversation: Conversation, task: Question) -> Reply:
    if not conversation.did("def guess"):
        words = "\n".join(f"    {name!r}: {KEYWORDS.get(name, [name.lower()])!r}," for name in task.labels)
        return _cell(
            cells.filled(cells.GUESS, keywords=words),
            content="I label the messages by keywords.",
            reasoning="There are too many messages to read one by one, so I try keywords for each label.",
        )
    seen = _telling_words(conversation.steps[-1].shown, task)
    if seen and not conversation.did("keywords[label]"):
        return _cell(
            cells.filled(cells.REFINE, seen=repr(seen)),
            content="Some messages match nothing. I look at a few of them and add words.",
            reasoning=f"Of the unmatched ones, the first is about {seen[0][0]!r}. I take a word from each.",
        )
    if not conversation.did("fallback = ") and conversation.chance(0.6, "mind the rest"):
        return _cell(
            cells.filled(cells.DEFAULT, labels=repr(list(task.labels))),
            content="The rest still matches nothing; I give it a default.",
            reasoning="Leaving them out would make the counts too low.",
        )
    return _aggregate(conversation, task, source="guessed")


def _telling_words(shown: str, task: Question) -> list[tuple[str, str]]:
    """Returns a label and a word for each unmatched message that the last cell printed: its longest lower-case
    word.
    """
    _, _, listed = shown.partition("unmatched, for instance:\n")
    seen = []
    for text in re.findall(r"^   (.+)$", listed, re.MULTILINE):
        words = re.findall(r"\b[a-z]{5,}\b", text)
        if words:
            seen.append((understood(text, labels=task.labels), max(words, key=len)))
    return list(dict.fromkeys(seen))


def _read_by_sub_llms(conversation: Conversation, task: Question) -> Reply:
    if not conversation.did("llm_batch("):
        return _ask(task)
    if not conversation.did("missing = "):
        return _cell(
            cells.TAKE,
            content="Now I parse their answers and check that every message has a label.",
            reasoning="Sub-LLMs sometimes skip a line. I count what is missing before I aggregate.",
        )
    missing = re.search(r"^(\d+) without a label", conversation.steps[-1].shown, re.MULTILINE)
    if missing and int(missing.group(1)) > 0 and not conversation.did("again = "):
        return _cell(
            cells.ASK_AGAIN,
            content="A few were skipped; I ask for these again.",
            reasoning=f"{missing.group(1)} messages have no label yet. One more prompt is enough for them.",
        )
    return _aggregate(conversation, task, source="read")


def _ask(task: Question) -> Reply:
    code = cells.filled(cells.ASK, labels=repr(list(task.labels)), least=str(LEAST_CHUNK), most=str(MOST_CHUNKS))
    return _cell(
        code,
        content="The labels have to be read out of the messages, so I let sub-LLMs read them in chunks.",
        reasoning="Keywords would mislead me. One prompt per chunk, all in one batch, in a strict form of answer.",
    )


def _aggregate(conversation: Conversation, task: Question, *, source: str) -> Reply:
    # "Or later" includes the day itself, which is easily forgotten.
    forgets = conversation.chance(0.05 if conversation.has_tips else 0.2, "or later")
    computed = cells.filled(
        cells.COMPUTED[task.what],
        label=repr(task.label),
        other=repr(task.other),
        labels=repr(list(task.labels)),
        user=repr(task.user),
        since=repr(task.since),
        sign=">" if forgets else ">=",
    )
    return _cell(
        cells.filled(cells.AGGREGATE, labelled=cells.LABELLED[source], computed=computed),
        content="With a label for each message, the rest is counting.",
        reasoning="I aggregate in Python, exactly as the question asks.",
    )


def _finish(task: Question) -> Reply:
    noun = {"most_user": "user", "most_date": "date", "comparison": "phrase"}.get(task.what, "result")
    return _cell(
        cells.FINISH,
        content=f"That is the {noun} I answer with.",
        reasoning="The result has the form that the question asks for.",
    )
