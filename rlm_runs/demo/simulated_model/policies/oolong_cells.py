"""The cells of the Oolong policy, as code. `$name` placeholders are filled in for the task."""

from __future__ import annotations

from string import Template

LINE = r"Date: (.+?) \|\| User: (\d+) \|\| Message: (.*?)(?: \|\| Label: (.+))?$"

LOOK = """\
lines = context.splitlines()
print(len(context), "characters,", len(lines), "lines")
lines[:3]"""

PARSE_CARELESSLY = """\
records = []
for line in lines:
    day, user, text = [part.split(": ")[1] for part in line.split(" | ")]
    records.append((day, user, text))
len(records)"""

PARSE = f'''\
import re
from collections import Counter
from datetime import datetime

lines = context.splitlines()
pattern = re.compile(r"{LINE}")
records = [m.groups() for m in map(pattern.match, lines) if m]
print(len(records), "records of", len(lines), "lines")
records[:2]'''

GUESS = """\
keywords = {
$keywords
}

def guess(text):
    low = text.lower()
    for label, words in keywords.items():
        if any(word in low for word in words):
            return label
    return None

def guess_all():
    guessed = [guess(text) for _, _, text, _ in records]
    unmatched = [r[2] for r, label in zip(records, guessed) if label is None]
    print(Counter(guessed))
    print(len(unmatched), "unmatched, for instance:")
    for text in unmatched[::max(1, len(unmatched) // 8)][:8]:
        print("  ", text)
    return guessed

guessed = guess_all()"""

REFINE = """\
for label, word in $seen:
    keywords[label].append(word)
guessed = guess_all()"""

DEFAULT = """\
# Nothing tells the unmatched ones apart: they get the label that was guessed least.
fallback = min($labels, key=lambda label: guessed.count(label))
guessed = [label or fallback for label in guessed]
Counter(guessed)"""

ASK = """\
labels = $labels
size = max($least, -(-len(records) // $most))

def ask(numbers):
    listed = "\\n".join(f"{n}. {records[n][2]}" for n in numbers)
    return (
        "Read each of the numbered messages below and decide which label fits what it means.\\n"
        f"Labels: {', '.join(labels)}\\n"
        "Answer with every number and its label, in the form \\\\boxed{1: label; 2: label}.\\n\\n" + listed
    )

chunks = [range(i, min(i + size, len(records))) for i in range(0, len(records), size)]
replies = llm_batch([ask(chunk) for chunk in chunks])
print(len(chunks), "chunks of", size)
replies[0][:200]"""

TAKE = """\
found = {}

def take(reply):
    for number, label in re.findall(r"(\\d+): *([^;{}]+)", reply):
        if label.strip() in labels:
            found[int(number)] = label.strip()

for reply in replies:
    take(reply)
missing = [n for n in range(len(records)) if n not in found]
print(len(missing), "without a label")
Counter(found.values())"""

ASK_AGAIN = """\
again = llm_batch([ask(missing)])
for reply in again:
    take(reply)
print(len(found), "of", len(records), "have a label now")"""

LABELLED = {
    "given": "labelled = [(day, user, label) for day, user, _, label in records]",
    "guessed": "labelled = [(r[0], r[1], label) for r, label in zip(records, guessed)]",
    "read": "labelled = [(r[0], r[1], found[n]) for n, r in enumerate(records) if n in found]",
}

AGGREGATE = """\
$labelled
counts = Counter(label for _, _, label in labelled)
print(counts)
$computed
result"""

COMPUTED = {
    "comparison": """\
one, other = counts[$label], counts[$other]
print(one, other)
if one == other:
    result = "same frequency as"
else:
    result = "more common than" if one > other else "less common than\"""",
    "most_label": "result = counts.most_common(1)[0][0]",
    "least_label": "result = min($labels, key=lambda label: counts[label])",
    "most_user": """\
by_user = Counter(user for _, user, label in labelled if label == $label)
print(by_user.most_common(3))
result = by_user.most_common(1)[0][0] if by_user else "unknown\"""",
    "most_date": """\
by_day = Counter(day for day, _, label in labelled if label == $label)
print(by_day.most_common(3))
result = by_day.most_common(1)[0][0] if by_day else "unknown\"""",
    "count": "result = counts[$label]",
    "user_count": "result = sum(user == $user and label == $label for _, user, label in labelled)",
    "since_count": """\
def day(text):
    return datetime.strptime(text, "%b %d, %Y")

first = day($since)
result = sum(day(when) $sign first and label == $label for when, _, label in labelled)""",
}

FINISH = """\
answer["content"] = f"Answer: {result}"
answer["ready"] = True
answer["content"]"""


def filled(cell: str, **values: str) -> str:
    """Returns the cell with its `$names` filled in. A `$` of the code itself stays."""
    return Template(cell).safe_substitute(values)
