"""The diff of two texts, as pieces that are equal, removed or added.

It compares words, or lines if there are many words. The old text consists of the pieces that are not added, the
new text of those that are not removed. The work is bounded for any texts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import Enum
from itertools import groupby

_WORDS = re.compile(r"\s+|\w+|[^\w\s]")
_MOST = 1_200
"""The maximum number of words, or lines, to match between the common start and end. Matching more is slow."""
_EDGE = 160
"""Characters kept at either end of a long equal piece."""


class Kind(Enum):
    """The texts that contain a piece. SKIPPED replaces the middle of a long equal piece and gives its length."""

    SAME = "same"
    GONE = "gone"
    NEW = "new"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Piece:
    """Some characters, and the texts that contain them."""

    kind: Kind
    text: str


def diff(old: str, new: str) -> tuple[Piece, ...]:
    """Returns the pieces of both texts in order, a removed piece before its replacement."""
    pieces = _diff(old, new)
    return tuple(
        Piece(kind, "".join(piece.text for piece in group))
        for kind, group in groupby(pieces, key=lambda piece: piece.kind)
    )


def _diff(old: str, new: str) -> Iterator[Piece]:
    for split in (_WORDS.findall, _lines):
        one, other = split(old), split(new)
        begin = _common(one, other)
        end = _common(one[begin:][::-1], other[begin:][::-1])
        middle, counter = one[begin : len(one) - end], other[begin : len(other) - end]
        if max(len(middle), len(counter)) <= _MOST:
            yield from _piece(Kind.SAME, one[:begin])
            yield from _matched(middle, counter)
            yield from _piece(Kind.SAME, one[len(one) - end :])
            return
    yield from _piece(Kind.SAME, one[:begin])
    yield from _piece(Kind.GONE, middle)
    yield from _piece(Kind.NEW, counter)
    yield from _piece(Kind.SAME, one[len(one) - end :])


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """Returns the number of equal tokens at the start."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (first, second) in pairs if first != second), min(len(one), len(other)))


def _matched(one: Sequence[str], other: Sequence[str]) -> Iterator[Piece]:
    """Yields equal and different pieces. A space between two different words does not count as equal."""
    gone, new = "", ""
    for kind, start, end, from_, to in SequenceMatcher(None, one, other).get_opcodes():
        before, after = "".join(one[start:end]), "".join(other[from_:to])
        if kind == "equal" and not ((gone or new) and not before.strip() and end < len(one)):
            yield from _changed(gone, new)
            yield Piece(Kind.SAME, before)
            gone, new = "", ""
        else:
            gone, new = gone + before, new + after
    yield from _changed(gone, new)


def _changed(gone: str, new: str) -> Iterator[Piece]:
    yield from _piece(Kind.GONE, [gone] if gone else [])
    yield from _piece(Kind.NEW, [new] if new else [])


def _piece(kind: Kind, tokens: Sequence[str]) -> Iterator[Piece]:
    if tokens:
        yield Piece(kind, "".join(tokens))


def shortened(pieces: Sequence[Piece], *, in_words: Callable[[int], str]) -> Iterator[Piece]:
    """Yields the pieces with the middle of long equal ones replaced. `in_words` formats their length."""
    for at, piece in enumerate(pieces):
        before = 0 if at == 0 else _EDGE
        after = 0 if at == len(pieces) - 1 else _EDGE
        if piece.kind is not Kind.SAME or len(piece.text) <= 3 * _EDGE or len(pieces) == 1:
            yield piece
            continue
        yield from _piece(Kind.SAME, [piece.text[:before]] if before else [])
        yield Piece(Kind.SKIPPED, in_words(len(piece.text) - before - after))
        yield from _piece(Kind.SAME, [piece.text[len(piece.text) - after :]] if after else [])
