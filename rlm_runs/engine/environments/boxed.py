"""The convention that a model puts its final answer in `\\boxed{}`: finding the box."""

from __future__ import annotations

import re

_OPENING_BOX = "\\boxed{"
_BRACES = re.compile(r"\\boxed\{|\{|\}")


def last_boxed(text: str) -> str | None:
    """Returns the content of the last box with matching braces; None without one.

    It reads the text once, because an answer may be a megabyte of opening boxes.
    """
    opened: list[re.Match[str]] = []
    last: tuple[int, int] | None = None
    for brace in _BRACES.finditer(text):
        if brace.group() != "}":
            opened.append(brace)
        elif opened:
            opening = opened.pop()
            if opening.group() == _OPENING_BOX and (last is None or opening.end() > last[0]):
                last = opening.end(), brace.start()
    return None if last is None else text[slice(*last)]


def unboxed(text: str) -> str:
    """Returns the content of the last box, or the whole text if nothing is boxed, without surrounding
    white space.
    """
    boxed = last_boxed(text)
    return (text if boxed is None else boxed).strip()
