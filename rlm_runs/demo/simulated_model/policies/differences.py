"""The first difference between a copy and its text, with enough context to locate it."""

from __future__ import annotations

from dataclasses import dataclass

AGREEING = 12
"""The number of characters that must agree again after a difference."""
LONGEST = 40


@dataclass(frozen=True)
class Difference:
    """A difference: at `start` the text has `right`, and the copy has `wrong`."""

    start: int
    right: str
    wrong: str


def first_difference(text: str, copy: str) -> Difference | None:
    """Returns the first difference; None if the texts are equal."""
    if text == copy:
        return None
    pairs = zip(text, copy, strict=False)
    start = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(text), len(copy)))
    for total in range(1, 2 * LONGEST):
        for right in range(total + 1):
            wrong = total - right
            if _agree(text[start + right :], copy[start + wrong :]):
                return Difference(start, text[start : start + right], copy[start : start + wrong])
    return Difference(start, text[start:], copy[start:])


def _agree(text: str, copy: str) -> bool:
    if len(text) < AGREEING or len(copy) < AGREEING:
        return text == copy
    return text[:AGREEING] == copy[:AGREEING]
