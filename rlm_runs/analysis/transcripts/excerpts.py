"""Beginnings of stored texts, so that a line of a megabyte costs nothing until it is needed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models.functions import Left

from ...models import Text
from ...models.texts import unescape

EXCERPT_CHARS = 12_000
"""Characters of one text on a page; slightly more than the 8,192 that a model is shown of a cell."""
FIRST_LINE_CHARS = 200

_HALF_ESCAPE = re.compile("\x1a[0-9a-f]{0,3}$")
_OPEN_CODE = re.compile(r'\s*\{\s*"code"\s*:\s*"')


@dataclass(frozen=True)
class Excerpt:
    """The beginning of a text, and the length of the whole text."""

    text: str
    chars: int

    @property
    def is_cut(self) -> bool:
        """Whether the text is longer."""
        return len(self.text) < self.chars

    @property
    def first_line(self) -> str:
        """The first line that is not blank."""
        return next((line.strip() for line in self.text.splitlines() if line.strip()), "")[:FIRST_LINE_CHARS]

    def cut(self, chars: int) -> Excerpt:
        """Returns at most this many characters of the excerpt."""
        return Excerpt(text=self.text[:chars], chars=self.chars)


EMPTY = Excerpt(text="", chars=0)


def excerpts(digests: Iterable[str], *, chars: int) -> dict[str, Excerpt]:
    """Returns a map of digest → the beginning of its text. One query, which reads at most `chars` characters of
    each.
    """
    rows = Text.objects.filter(sha256__in=set(digests)).annotate(start=Left("body", chars))
    return {key: excerpt_of(start, total) for key, start, total in rows.values_list("sha256", "start", "chars")}


def excerpt_of(start: str, chars: int) -> Excerpt:
    """Returns an excerpt of an escaped body. A truncated escape at its end is dropped."""
    return Excerpt(text=unescape(_HALF_ESCAPE.sub("", start)), chars=chars)


def code_of(arguments: Excerpt) -> tuple[Excerpt, bool]:
    """Returns the source in a cell's JSON arguments, and whether they are malformed.

    The source of malformed arguments is the arguments themselves. Truncated arguments are decoded as far as they
    go.
    """
    try:
        code = json.loads(arguments.text + ('"}' if arguments.is_cut else ""))["code"]
    except (ValueError, TypeError, KeyError):
        if arguments.is_cut and (found := _OPEN_CODE.match(arguments.text)):
            return Excerpt(text=_decode_truncated(arguments.text[found.end() :]), chars=arguments.chars), False
        return arguments, True
    if not isinstance(code, str):
        return arguments, True
    return Excerpt(text=code, chars=arguments.chars if arguments.is_cut else len(code)), False


def _decode_truncated(literal: str) -> str:
    """Returns the content of a JSON string that was cut, possibly in the middle of an escape."""
    for end in range(len(literal), max(len(literal) - 12, 0), -1):
        try:
            return str(json.loads(f'"{literal[:end]}"', strict=False))
        except ValueError:
            continue
    return literal
