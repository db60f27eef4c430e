"""Aggregate questions: three ways to answer them, by what there is to work with.

Without a REPL, the list is skimmed and counts are estimates. In a REPL without tips, keywords are counted by
code: exact work on a rough idea. With the tips, sub-LLMs read the messages, and code counts what they say.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from dataclasses import dataclass

from rlm_runs.demo_model.conversation import REPL_TOOL, Conversation, Reply
from rlm_runs.demo_model.policies.reading import read

SKIMMING_SLIPS = 0.4
ESTIMATE_SPREAD = 0.2
"""An estimated count is off by this share of itself, in standard deviations."""
CHUNK = 60
MOST_CHUNKS = 14

LINE = r"Date: (.+?) \|\| User: (\d+) \|\| Message: (.*?)(?: \|\| Label: (.+))?$"

KEYWORDS = {
    "abbreviation": ["stand for", "short for", "letters"],
    "person": ["who", "name", "inventor"],
    "location": ["where", "city", "country", "capital"],
    "number": ["how many", "year", "how long"],
    "entity": ["which", "colour", "food"],
    "description": ["how does", "why", "what is"],
    "positive": ["good", "great", "love", "perfect", "again"],
    "negative": ["bad", "back", "poor", "not"],
    "mixed": ["though", "but", "half"],
    "refund": ["money", "refund", "cancel", "paid"],
    "delivery": ["courier", "order", "tracking"],
    "account": ["password", "login", "profile"],
    "fault": ["noise", "display", "repair", "hot"],
    "praise": ["thank", "wonderful", "like"],
}
"""What comes to mind first, before any message was read: good enough for half of them."""


@dataclass(frozen=True)
class Asked:
    """A question, taken apart. `what` is how the answer is found; the other fields narrow the messages."""

    labels: tuple[str, ...]
    what: str
    label: str = ""
    other: str = ""
    user: str = ""
    since: str = ""


QUESTIONS: tuple[tuple[str, str], ...] = (
    ("count", r"How many messages of user (?P<user>\d+) have the label '(?P<label>[^']+)'"),
    ("count", r"How many messages of (?P<since>\w{3} \d+, \d{4}) or later have the label '(?P<label>[^']+)'"),
    ("count", r"How many messages have the label '(?P<label>[^']+)'"),
    ("most_label", r"Which label is the most frequent"),
    ("least_label", r"Which label is the least frequent"),
    ("comparison", r"Is the label '(?P<label>[^']+)' more common than.* as '(?P<other>[^']+)'"),
    ("most_user", r"Which user wrote the most messages with the label '(?P<label>[^']+)'"),
    ("most_date", r"On which date were the most messages with the label '(?P<label>[^']+)'"),
)


def asked(question: str) -> Asked | None:
    """Reads the task; None where it is another, or a question of a form unknown here."""
    labels = re.search(r"exactly one of these labels: (.+?)\.(?:\s|$)", question)
    if labels is None:
        return None
    names = tuple(re.findall(r"'([^']+)'", labels.group(1)))
    for what, pattern in QUESTIONS:
        match = re.search(pattern, question)
        if match and names:
            return Asked(labels=names, what=what, **match.groupdict())
    return None


def reply(conversation: Conversation) -> Reply:
    """The estimate, or the next cell."""
    task = asked(conversation.question)
    assert task is not None
    if not conversation.is_rlm:
        return _by_skimming(conversation, task)
    if not conversation.steps:
        return _look()
    done = "\n".join(step.code for step in conversation.steps)
    last = conversation.steps[-1]
    if "records = " not in done or (last.failed and "records = " in last.code):
        return _parse(conversation, again="records = " in done)
    if "|| Label:" in "\n".join(step.shown for step in conversation.steps[:1]):
        return _aggregate(conversation, task, "given") if "result = " not in done else _finish(conversation, task)
    if conversation.has_tips:
        return _with_sub_llms(conversation, task, done=done)
    return _with_keywords(conversation, task, done=done)


def _by_skimming(conversation: Conversation, task: Asked) -> Reply:
    rng = conversation.rng("skim")
    rows = [re.search(LINE, line) for line in conversation.inlined.splitlines()]
    records = [
        (m[1], m[2], m[4] or read(m[3], labels=task.labels, slips=SKIMMING_SLIPS, rng=rng)) for m in rows if m
    ]
    return Reply(
        content=f"I went through the messages once.\n\nAnswer: {_estimate(task, records, rng=rng)}",
        reasoning=f"There are about {round(len(records), -1)} messages. I can only skim and estimate the counts.",
    )


def _estimate(task: Asked, records: list[tuple[str, str, str]], *, rng: random.Random) -> str:
    """The answer from counts that are felt, not counted."""

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
        "lines = context.splitlines()\nprint(len(context), 'characters,', len(lines), 'lines')\nlines[:3]",
        content="First a look at the data.",
        reasoning="The list is in `context`. I need to know its size and the form of a line.",
    )


def _parse(conversation: Conversation, *, again: bool) -> Reply:
    careless = conversation.chance(0.35, "careless parse") and not again
    if careless:
        return _cell(
            'records = []\nfor line in lines:\n    day, user, text = [part.split(": ")[1] for part in line.split(" | ")]\n'
            "    records.append((day, user, text))\nlen(records)",
            content="I split the lines into records.",
            reasoning="Date, user and message stand side by side, with a bar between them.",
        )
    return _cell(
        "import re\nfrom collections import Counter\nfrom datetime import datetime\n\n"
        f'pattern = re.compile(r"{LINE}")\n'
        "records = [m.groups() for m in map(pattern.match, lines) if m]\n"
        "print(len(records), 'records of', len(lines), 'lines')\nrecords[0]",
        content="The separator is two bars; a pattern is safer." if again else "I parse the lines into records.",
        reasoning="Each record is date, user, message, and a label where it is written.",
    )


def _with_keywords(conversation: Conversation, task: Asked, *, done: str) -> Reply:
    last = conversation.steps[-1]
    if "def guess" not in done:
        return _guess_function(task)
    if "unmatched" in last.code and "fallback" not in done and conversation.chance(0.6, "improve"):
        return _spread_the_rest(task)
    if "result = " not in done:
        return _aggregate(conversation, task, "keyword")
    return _finish(conversation, task)


def _guess_function(task: Asked) -> Reply:
    words = ",\n".join(f"    {name!r}: {KEYWORDS.get(name, [name.lower()])!r}" for name in task.labels)
    return _cell(
        f"keywords = {{\n{words},\n}}\n\ndef guess(text):\n    low = text.lower()\n"
        "    for label, words in keywords.items():\n        if any(word in low for word in words):\n"
        "            return label\n    return None\n\n"
        "guessed = [guess(r[2]) for r in records]\nunmatched = [r[2] for r in records if guess(r[2]) is None]\n"
        "print(Counter(guessed))\nprint(len(unmatched), 'unmatched, for instance:', unmatched[:4])",
        content="I label the messages by keywords.",
        reasoning="There are too many messages to read one by one, so I try keywords for each label.",
    )


def _spread_the_rest(task: Asked) -> Reply:
    return _cell(
        f"# The unmatched ones name none of the keywords; the vaguest label is the best guess for them.\n"
        f"fallback = {task.labels[-1]!r}\nguessed = [label or fallback for label in guessed]\nCounter(guessed)",
        content="Some messages match nothing; I give them a default.",
        reasoning="Leaving them out would make every count too low.",
    )


def _with_sub_llms(conversation: Conversation, task: Asked, *, done: str) -> Reply:
    last = conversation.steps[-1]
    if "llm_batch(" not in done:
        return _ask_sub_llms(task)
    if "missing = " not in done:
        return _read_answers(task)
    missing = re.search(r"^(\d+) without a label", last.shown, re.MULTILINE)
    if missing and int(missing.group(1)) > 0 and "missing = " in last.code and "again = " not in done:
        return _ask_again()
    if "result = " not in done:
        return _aggregate(conversation, task, "read")
    return _finish(conversation, task)


def _ask_sub_llms(task: Asked) -> Reply:
    return _cell(
        f"labels = {list(task.labels)!r}\nsize = max({CHUNK}, -(-len(records) // {MOST_CHUNKS}))\n\n"
        "def ask(numbers):\n    listed = '\\n'.join(f'{n}. {records[n][2]}' for n in numbers)\n"
        "    return ('Read each of the numbered messages below and decide which label fits what it means.\\n'\n"
        "            f'Labels: {\", \".join(labels)}\\n'\n"
        "            'Answer with every number and its label, in the form \\\\boxed{1: label; 2: label}.\\n\\n' + listed)\n\n"
        "chunks = [range(i, min(i + size, len(records))) for i in range(0, len(records), size)]\n"
        "replies = llm_batch([ask(chunk) for chunk in chunks])\nprint(len(chunks), 'chunks of', size)\nreplies[0][:200]",
        content="The labels have to be read out of the messages, so I let sub-LLMs read them in chunks.",
        reasoning="Keywords would mislead me. One prompt per chunk, all in one batch, with a strict form of answer.",
    )


def _read_answers(task: Asked) -> Reply:
    return _cell(
        "found = {}\n\ndef take(reply):\n    for number, label in re.findall(r'(\\d+): *([^;{}]+)', reply):\n"
        "        if label.strip() in labels:\n            found[int(number)] = label.strip()\n\n"
        "for reply in replies:\n    take(reply)\nmissing = [n for n in range(len(records)) if n not in found]\n"
        "print(len(missing), 'without a label')\nCounter(found.values())",
        content="Now I parse their answers and check that every message has a label.",
        reasoning="Sub-LLMs sometimes skip a line. I count what is missing before I aggregate.",
    )


def _ask_again() -> Reply:
    return _cell(
        "again = llm_batch([ask(missing)])\nfor reply in again:\n    take(reply)\n"
        "print(len(found), 'of', len(records), 'have a label now')",
        content="A few were skipped; I ask for these again.",
        reasoning="The missing messages are few, so one more prompt is enough.",
    )


LABELLED = {
    "given": "labelled = [(day, user, label) for day, user, _, label in records]",
    "keyword": "labelled = [(r[0], r[1], label) for r, label in zip(records, guessed)]",
    "read": "labelled = [(r[0], r[1], found[n]) for n, r in enumerate(records) if n in found]",
}


def _aggregate(conversation: Conversation, task: Asked, source: str) -> Reply:
    hasty = conversation.chance(0.04 if conversation.has_tips else 0.12, "off by one")
    return _cell(
        f"{LABELLED[source]}\ncounts = Counter(label for _, _, label in labelled)\nprint(counts)\n"
        + _result(task, hasty=hasty)
        + "\nresult",
        content="With a label for each message, the rest is counting.",
        reasoning="I aggregate in Python, exactly as the question asks.",
    )


def _result(task: Asked, *, hasty: bool) -> str:
    if task.what == "comparison":
        return (
            f"one, other = counts[{task.label!r}], counts[{task.other!r}]\nprint(one, other)\n"
            "result = 'same frequency as' if one == other else "
            "('more common than' if one > other else 'less common than')"
        )
    if task.what == "most_label":
        return "result = counts.most_common(1)[0][0]"
    if task.what == "least_label":
        return f"result = min({list(task.labels)!r}, key=lambda label: counts[label])"
    if task.what in ("most_user", "most_date"):
        column = 1 if task.what == "most_user" else 0
        return (
            f"by = Counter(r[{column}] for r in labelled if r[2] == {task.label!r})\nprint(by.most_common(3))\n"
            "result = by.most_common(1)[0][0] if by else 'unknown'"
        )
    return _count_code(task, hasty=hasty)


def _count_code(task: Asked, *, hasty: bool) -> str:
    conditions = [f"r[2] == {task.label!r}"]
    before = ""
    if task.user:
        conditions.append(f"r[1] == {task.user!r}")
    if task.since:
        # "Or later" includes the day itself: easy to forget.
        sign = ">" if hasty else ">="
        before = f"day = lambda text: datetime.strptime(text, '%b %d, %Y')\nfirst = day({task.since!r})\n"
        conditions.append(f"day(r[0]) {sign} first")
    start = "labelled[1:]" if hasty and not task.since else "labelled"
    return f"{before}result = sum({' and '.join(conditions)} for r in {start})"


def _finish(conversation: Conversation, task: Asked) -> Reply:
    del conversation
    word = {"most_user": "user", "most_date": "date", "count": "number"}.get(task.what, "label")
    return _cell(
        'answer["content"] = f"Answer: {result}"\nanswer["ready"] = True\nanswer["content"]',
        content=f"That is the {word} I answer with." if word != "label" else "That is my answer.",
        reasoning="The result has the form that the question asks for.",
    )
