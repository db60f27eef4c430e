"""The cells of the DeepDive policy, as code. `$name` placeholders are filled in for the task."""

from __future__ import annotations

from string import Template

ASK_WHOLE = """\
question = $question
found = llm_batch(["Research this by searching and opening pages. Box the answer alone.\\n\\n" + question])
found[0]"""

WRITE_WHOLE = """\
answer["content"] = found[0]
answer["content"]"""

ASK_TRAILS = """\
trails = $trails

def ask(trail):
    return (
        "Find out by searching and opening pages where this trail ends. Each sentence leads on by a step.\\n\\n"
        f"Trail 1: {trail}\\n\\n"
        "Answer with the name and the year of what it ends at, in the form \\\\boxed{name; year}."
    )

found = llm_batch([ask(trail) for trail in trails])
found"""

PARSE_HASTILY = """\
ends = [(int(said.split("; ")[1]), said.split("; ")[0]) for said in found]
ends"""

PARSE = """\
ends = []
for said in found:
    name, _, year = said.rpartition("; ")
    if year.isdigit():
        ends.append((int(year), name))
ends"""

DECOMPOSE = """\
trails = $trails
for number, trail in enumerate(trails):
    steps = trail.split(". ")
    print(f"trail {number}: starts at {steps[0]!r}, then {len(steps) - 1} step(s)")"""

ASK_TWICE = """\
def ask(trail, reader):
    return (
        "Find out by searching and opening pages where this trail ends. Each sentence leads one step further. "
        "Of the start, only a description is given: before you go on from a page, check on it that it fits every "
        f"clue. You are reader {reader}, and on your own.\\n\\n"
        f"Trail 1: {trail}\\n\\n"
        "Answer with the name and the year of what it ends at, in the form \\\\boxed{name; year}."
    )

found = llm_batch([ask(trail, reader) for trail in trails for reader in (1, 2)])
found"""

COMPARE = """\
said = [found[2 * n : 2 * n + 2] for n in range(len(trails))]
disputed = [n for n, (one, other) in enumerate(said) if one != other or "; " not in one]
print(len(disputed), "disputed")
for trail, readings in zip(trails, said):
    print(readings, "<-", trail[:60])"""

ASK_AGAIN = """\
third = llm_batch([ask(trails[n], reader) for n in disputed for reader in (3, 4)])
for position, n in enumerate(disputed):
    said[n] += third[2 * position : 2 * position + 2]
    print(said[n])"""

SETTLE = """\
from collections import Counter

ends = []
for readings in said:
    whole = [reading for reading in readings if reading.rpartition("; ")[2].isdigit()]
    if whole:
        name, _, year = Counter(whole).most_common(1)[0][0].rpartition("; ")
        ends.append((int(year), name))
ends"""

WRITE = """\
answer["content"] = $result if ends else "unknown"
answer["content"]"""

RESULTS = {
    "oldest": "min(ends)[1]",
    "name": "ends[0][1]",
    "year": "str(ends[0][0])",
    "name and year": "ends[0][1]",
}


def filled(cell: str, **values: str) -> str:
    """Returns the cell with its `$names` filled in."""
    return Template(cell).safe_substitute(values)
