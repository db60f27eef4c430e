"""The policy for copying: the first copy has slips. In a REPL it can be printed, compared and corrected.

Slips grow with the length and with characters that form no words. Printing shows the copy; the tips add a second
look, which notices more slips.
"""

from __future__ import annotations

import ast
import math
import random
import re

from ..conversation import REPL_TOOL, Conversation, Reply, Step
from .differences import first_difference

SLIPS_PER_CHARACTER = 1 / 2_600
HARD_CHARACTER = 2.0
"""The factor by which slips are more likely at digits, capitals and punctuation."""
MOST_SLIPS = 4
NOTICED = 0.45
NOTICED_WITH_TIPS = 0.6
"""The chance to see the next slip in one printing. With the tips there are two printings."""

ALIKE = {"0": "O", "O": "0", "1": "l", "l": "1", "5": "S", "S": "5", "n": "m", "m": "n", " ": "  "}

PRINT = "print(len(copy), repr(copy))"
PRINT_LINES = """\
# A second look, in pieces of 50 characters.
for start in range(0, len(copy), 50):
    print(start, repr(copy[start:start + 50]))"""


def source(question: str) -> str | None:
    """Returns the text to copy."""
    match = re.search(r"<text>\n(.+)\n</text>", question, re.DOTALL)
    return match.group(1) if match and "copy" in question.lower() else None


def reply(conversation: Conversation, text: str) -> Reply:
    """Returns the copy itself, or the next cell of the work on it."""
    if not conversation.is_rlm:
        reasoning = "I copy the text character by character, minding spaces and line breaks."
        return Reply(content=_first_copy(conversation, text), reasoning=reasoning)
    if not conversation.steps:
        return _write_first_half(conversation, text)
    last = conversation.steps[-1]
    if last.failed:
        return _write_anew(conversation, text)
    if not conversation.did('answer["content"] = '):
        return _write_second_half(conversation, text)
    if not conversation.did("repr(copy)"):
        return _print()
    return _compare(conversation, text, printed=_printed(last))


def _first_copy(conversation: Conversation, text: str) -> str:
    rng = conversation.rng("slips")
    hard = sum(not (c.islower() or c.isspace()) for c in text)
    expected = SLIPS_PER_CHARACTER * (len(text) - hard + HARD_CHARACTER * hard)
    copy = text
    for number in range(1, MOST_SLIPS + 1):
        if rng.random() < 1 - math.exp(-expected / number):
            copy = _with_slip(copy, rng)
    return copy


def _with_slip(text: str, rng: random.Random) -> str:
    """Returns the text with one character swapped, dropped, doubled or misread; never the first or the last."""
    if len(text) < 4:
        return text
    at = rng.randrange(1, len(text) - 2)
    kind = rng.choice(("swap", "drop", "double", "misread"))
    if kind == "swap" and text[at] != text[at + 1]:
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    if kind == "drop":
        return text[:at] + text[at + 1 :]
    if kind == "double":
        return text[:at] + text[at] + text[at:]
    return text[:at] + ALIKE.get(text[at], "e" if text[at] != "e" else "a") + text[at + 1 :]


def _write_first_half(conversation: Conversation, text: str) -> Reply:
    copy = _first_copy(conversation, text)
    return Reply(
        reasoning="I write the copy in two halves, each as a literal, line by line, so that I can inspect it.",
        content="First I write the first half into the REPL.",
        tool=REPL_TOOL,
        code=f"first = {_literal(copy[: len(copy) // 2])}\nlen(first)",
    )


def _write_second_half(conversation: Conversation, text: str) -> Reply:
    copy = _first_copy(conversation, text)
    # A mistake that real models make: the dict is mistaken for an object.
    target = "answer.content" if conversation.chance(0.15, "attribute") else 'answer["content"]'
    return Reply(
        content="Now the second half, and both together.",
        reasoning="The second half begins where the first one stopped.",
        tool=REPL_TOOL,
        code=f"second = {_literal(copy[len(copy) // 2 :])}\ncopy = first + second\n{target} = copy\nlen(copy)",
    )


def _write_anew(conversation: Conversation, text: str) -> Reply:
    if "answer.content" in conversation.steps[-1].code:
        return Reply(
            reasoning="`answer` is a dict, so the content is set by key. `copy` was set before that line.",
            content="`answer` is a dict, not an object.",
            tool=REPL_TOOL,
            code='answer["content"] = copy\nlen(copy)',
        )
    return Reply(
        reasoning="That cell failed, so I do not know what is in the REPL; I write everything anew.",
        content="That failed; I write it anew.",
        tool=REPL_TOOL,
        code=f'copy = {_literal(_first_copy(conversation, text))}\nanswer["content"] = copy\nlen(copy)',
    )


def _literal(text: str) -> str:
    """Returns the text as a parenthesised literal, one source line per line of the text."""
    lines = "\n".join(f"    {line!r}" for line in text.splitlines(keepends=True)) or "    ''"
    return f"(\n{lines}\n)"


def _print() -> Reply:
    return Reply(
        reasoning="What I meant to write and what I wrote may differ, so I print it with repr.",
        content="Now I print what I wrote and compare it with the text.",
        tool=REPL_TOOL,
        code=PRINT,
    )


def _printed(step: Step) -> str:
    """Returns the copy as the last cell printed it, whole or in pieces; "" if the output was truncated."""
    pieces = re.findall(r"^\d+ (['\"].*['\"])$", step.shown, re.MULTILINE)
    if "[output truncated" in step.shown:
        return ""
    try:
        return "".join(str(ast.literal_eval(piece)) for piece in pieces)
    except (ValueError, SyntaxError):
        return ""


def _compare(conversation: Conversation, text: str, *, printed: str) -> Reply:
    """Looks for the first difference between the printed copy and the text, and may overlook it."""
    difference = first_difference(text, printed) if printed else None
    care = NOTICED_WITH_TIPS if conversation.has_tips else NOTICED
    if difference is not None and conversation.chance(care, f"notice {len(conversation.steps)}"):
        at, right, wrong = difference.start, difference.right, difference.wrong
        mended = f"copy[:{at}] + {right!r} + copy[{at + len(wrong)}:]"
        return Reply(
            reasoning=f"Near character {at} I wrote {wrong!r} where the text has {right!r}.",
            content=f"There is a slip near character {at}: I mend it and look again.",
            tool=REPL_TOOL,
            code=f'copy = {mended}\nanswer["content"] = copy\n{PRINT}',
        )
    if conversation.has_tips and not conversation.did(PRINT_LINES):
        return Reply(
            reasoning="At first sight it agrees. Once more in small pieces, where a slip is easier to see.",
            content="It seems to agree; I look a second time, in pieces.",
            tool=REPL_TOOL,
            code=PRINT_LINES,
        )
    return Reply(
        reasoning="Part by part, what was printed agrees with the text as far as I can see.",
        content="It agrees with the text; this is my answer.",
        tool=REPL_TOOL,
        code='answer["ready"] = True',
    )
