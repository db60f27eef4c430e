"""Copying: the first copy has slips; in a REPL it can be printed, compared and mended.

Slips grow with the length, and with characters that make no words. Printing shows what was written; whether a
slip is noticed in what was printed is a matter of care, and the tips make for more care.
"""

from __future__ import annotations

import ast
import random
import re

from rlm_runs.demo_model.conversation import REPL_TOOL, Conversation, Reply, Step

SLIPS_PER_CHARACTER = 1 / 1_250
HARD_CHARACTER = 2.2
"""How much likelier a slip is where digits, capitals and signs stand."""
NOTICED = 0.45
NOTICED_WITH_TIPS = 0.85


def source(question: str) -> str | None:
    """The text to copy."""
    match = re.search(r"<text>\n(.+)\n</text>", question, re.DOTALL)
    return match.group(1) if match and "copy" in question.lower() else None


def reply(conversation: Conversation) -> Reply:
    """The copy itself, or the next cell of the work on it."""
    text = source(conversation.question) or ""
    if not conversation.is_rlm:
        reasoning = "I copy the text character by character, minding spaces and line breaks."
        return Reply(content=_first_copy(conversation, text), reasoning=reasoning)
    if not conversation.steps:
        return _write(conversation, text)
    last = conversation.steps[-1]
    if last.failed:
        return _write_again(conversation, text)
    if "repr(copy)" not in last.code:
        return _print(conversation)
    return _compare(conversation, text, printed=_printed(last))


def _first_copy(conversation: Conversation, text: str) -> str:
    rng = conversation.rng("slips")
    hard = sum(not (c.islower() or c.isspace()) for c in text)
    expected = SLIPS_PER_CHARACTER * (len(text) - hard + HARD_CHARACTER * hard)
    copy = text
    while expected > 0 and rng.random() < 1 - 2.718281828 ** -min(expected, 1.5):
        copy = _with_slip(copy, rng)
        expected -= 0.7
    return copy


def _with_slip(text: str, rng: random.Random) -> str:
    """One character swapped, dropped, doubled or misread; never the first or the last."""
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
    alike = {"0": "O", "O": "0", "1": "l", "l": "1", "5": "S", "S": "5", "n": "m", "m": "n", " ": "  "}
    misread = alike.get(text[at], "e" if text[at] != "e" else "a")
    return text[:at] + misread + text[at + 1 :]


def _write(conversation: Conversation, text: str) -> Reply:
    # A mistake that models do make: the dict taken for an object.
    target = "answer.content" if conversation.chance(0.15, "attribute") else 'answer["content"]'
    return Reply(
        reasoning="I write the copy down as a literal, line by line, so that I can inspect it afterwards.",
        content="First I write the copy into the REPL.",
        tool=REPL_TOOL,
        code=f"copy = {_literal(_first_copy(conversation, text))}\n{target} = copy\nlen(copy)",
    )


def _write_again(conversation: Conversation, text: str) -> Reply:
    if 'answer["content"]' in conversation.steps[-1].code:
        code = f'copy = {_literal(_first_copy(conversation, text))}\nanswer["content"] = copy\nlen(copy)'
        return Reply(content="That failed; I write it anew.", tool=REPL_TOOL, code=code)
    return Reply(
        reasoning="`answer` is a dict, so the content is set by key. The variable `copy` was set before that.",
        content="`answer` is a dict, not an object.",
        tool=REPL_TOOL,
        code='answer["content"] = copy\nlen(copy)',
    )


def _literal(text: str) -> str:
    """The text as a parenthesised literal, one source line per line of the text."""
    lines = "\n".join(f"    {line!r}" for line in text.splitlines(keepends=True))
    return f"(\n{lines}\n)"


def _print(conversation: Conversation) -> Reply:
    if conversation.has_tips:
        code = 'copy = answer["content"]\nprint(len(copy), "characters,", copy.count("\\n"), "line breaks")\nprint(repr(copy))'
        return Reply(
            reasoning="Before I trust it I print it with repr and compare it with the prompt part by part.",
            content="Now I print what I wrote and compare it with the text.",
            tool=REPL_TOOL,
            code=code,
        )
    return Reply(content="Let me look at it once.", tool=REPL_TOOL, code="print(repr(copy))")


def _printed(step: Step) -> str:
    """The copy as the last cell printed it; "" where that cannot be read, for instance since it was cut."""
    match = re.search(r"^(['\"]).*\1$", step.shown, re.MULTILINE)
    try:
        value = ast.literal_eval(match.group(0)) if match else ""
    except (ValueError, SyntaxError):
        return ""
    return value if isinstance(value, str) else ""


def _compare(conversation: Conversation, text: str, *, printed: str) -> Reply:
    """Looks at the first difference between what was printed and the text, and sees it or does not."""
    care = NOTICED_WITH_TIPS if conversation.has_tips else NOTICED
    start = next((i for i, (a, b) in enumerate(zip(text, printed, strict=False)) if a != b), None)
    if start is None or not printed or not conversation.chance(care, f"notice {len(conversation.steps)}"):
        return Reply(
            reasoning="Part by part, what was printed agrees with the text as far as I can see.",
            content="It agrees with the text; this is my answer.",
            tool=REPL_TOOL,
            code='answer["ready"] = True',
        )
    end = _end_of_difference(text, printed, start=start)
    right, wrong = text[start : end[0]], printed[start : end[1]]
    return Reply(
        reasoning=f"Near character {start} I wrote {wrong!r}, and the text says {right!r}.",
        content=f"There is a slip near character {start}: I mend it and look again.",
        tool=REPL_TOOL,
        code=f'copy = copy[:{start}] + {right!r} + copy[{start} + {len(wrong)}:]\nanswer["content"] = copy\nprint(repr(copy))',
    )


def _end_of_difference(text: str, printed: str, *, start: int) -> tuple[int, int]:
    """Where the two agree again, for a dozen characters at least; the ends where they never do."""
    window = 12
    for size in range(1, 60):
        for mine in range(max(0, size - 3), size + 4):
            i, j = start + size, start + mine
            if text[i : i + window] == printed[j : j + window] and (
                len(text) - i >= window or text[i:] == printed[j:]
            ):
                return i, j
    return len(text), len(printed)
