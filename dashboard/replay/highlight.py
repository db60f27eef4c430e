"""Python source as pieces with a class, for the cells of a trace.

The standard library's tokenizer classifies the pieces. Where it fails, because models write anything, the rest is
plain. The pieces joined are always exactly the source.
"""

from __future__ import annotations

import io
import keyword
import tokenize
from collections.abc import Iterator

Piece = tuple[str, str]
"""A class ("" for plain) and the characters."""

_BY_TYPE = {
    tokenize.COMMENT: "c",
    tokenize.STRING: "s",
    tokenize.NUMBER: "n",
}
_OF_THE_REPL = frozenset({"llm_batch", "answer", "context"})
_BUILTINS = frozenset(
    {"len", "print", "range", "sorted", "enumerate", "zip", "sum", "max", "min", "list", "dict", "set"}
)


def pieces(source: str) -> Iterator[Piece]:
    """Yields the source in pieces."""
    lines = source.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    at = 0
    for kind, (begin, end) in _named(source):
        first, last = _offset(starts, begin), _offset(starts, end)
        if kind and at <= first < last <= len(source):
            if at < first:
                yield "", source[at:first]
            yield kind, source[first:last]
            at = last
    if at < len(source):
        yield "", source[at:]


def _offset(starts: list[int], place: tuple[int, int]) -> int:
    line, column = place
    return starts[min(line - 1, len(starts) - 1)] + column


def _named(source: str) -> Iterator[tuple[str, tuple[tuple[int, int], tuple[int, int]]]]:
    """Yields the class and place of each token, up to where the tokenizer fails."""
    if any(separator in source for separator in "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029\r"):
        return  # the tokenizer and str.splitlines disagree on what a line is
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            yield _class_of(token), (token.start, token.end)
    except (tokenize.TokenError, SyntaxError, ValueError, RecursionError):
        return


def _class_of(token: tokenize.TokenInfo) -> str:
    if token.type == tokenize.NAME:
        if keyword.iskeyword(token.string):
            return "k"
        if token.string in _OF_THE_REPL:
            return "r"
        return "b" if token.string in _BUILTINS else ""
    return _BY_TYPE.get(token.type, "")
