"""The convention that a model puts its final answer in `\\boxed{}`: finding the box."""

from __future__ import annotations

MARK = "\\boxed{"


def last_boxed(text: str) -> str | None:
    """The content of the last box whose braces match; None where there is none."""
    end = len(text)
    while (start := text.rfind(MARK, 0, end)) != -1:
        content = _until_closing_brace(text, start=start + len(MARK))
        if content is not None:
            return content
        end = start
    return None


def unboxed(text: str) -> str:
    """The content of the last box, or the whole text where nothing is boxed; stripped."""
    boxed = last_boxed(text)
    return (text if boxed is None else boxed).strip()


def _until_closing_brace(text: str, *, start: int) -> str | None:
    depth = 1
    for position in range(start, len(text)):
        if text[position] == "{":
            depth += 1
        elif text[position] == "}":
            depth -= 1
            if depth == 0:
                return text[start:position]
    return None
