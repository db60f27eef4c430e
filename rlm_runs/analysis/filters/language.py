"""Parses text into terms, and writes terms as text. The callers know the keys and their meaning.

    query   = term (space term)*
    term    = ["-"] (key ":" value ("," value)* | words)
    value   = "<" number | "<=" number | ">" number | ">=" number | [number] ".." [number] | word | "quoted"
    words   = word | "quoted" | "#" id of a rollout

In quotes, `\\"` is a quote and `\\\\` a backslash. Every term knows where it stands, so that an error can point.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

MOST_CHARS = 2_000
"""The maximum length of a query, in characters; a longer one is refused unread."""

_SPACE = re.compile(r"\s+")
_KEY = re.compile(r'([A-Za-z_][\w.-]*)(?:(?<=\.)("(?:[^"\\]|\\.)*"))?:')
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_WORD = re.compile(r'[^\s,"]+')
_WORDS = re.compile(r'[^\s"]+')
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_COMPARED = re.compile(r"(<=|>=|<|>)(.*)", re.DOTALL)
_RANGE = re.compile(r"(.*?)\.\.(.*)", re.DOTALL)
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d{1,3})?[kM]?", re.IGNORECASE | re.ASCII)
_THOUSANDS = {"k": 1_000, "m": 1_000_000}
_ROLLOUT = re.compile(r"#(\d{1,18})(?!\S)", re.ASCII)
_PLAIN = re.compile(r'(?![<>])[^\s,"*]+')
_PLAIN_KEY = re.compile(r"[A-Za-z_][\w.-]*")


class FilterError(ValueError):
    """A query cannot be parsed. `start` and `end` are the position of the word; `allowed` lists valid words,
    `suggestion` is the whole query with the word corrected, "" if nothing is similar.
    """

    def __init__(
        self, message: str, *, start: int, end: int, allowed: Iterable[str] = (), suggestion: str = ""
    ) -> None:
        super().__init__(message)
        self.start = start
        self.end = end
        self.allowed = tuple(allowed)
        self.suggestion = suggestion


@dataclass(frozen=True)
class Number:
    """A comparison with one number or two; all given limits must hold."""

    least: Decimal | None = None
    most: Decimal | None = None
    above: Decimal | None = None
    below: Decimal | None = None

    def __str__(self) -> str:
        if self.above is not None:
            return f">{_plain_number(self.above)}"
        if self.below is not None:
            return f"<{_plain_number(self.below)}"
        if self.least is not None and self.least == self.most:
            return _plain_number(self.least)
        if self.least is not None and self.most is not None:
            return f"{_plain_number(self.least)}..{_plain_number(self.most)}"
        return (
            f">={_plain_number(self.least)}"
            if self.least is not None
            else f"<={_plain_number(self.most or Decimal(0))}"
        )


@dataclass(frozen=True)
class Value:
    """One alternative. `number` is its text as a number, None if it is not one; a quoted text never is.

    `is_comparison` is true for `<1` and `1..2`, which can only be numbers.
    """

    text: str
    number: Number | None = None
    is_quoted: bool = False
    start: int = 0
    end: int = 0

    @property
    def is_comparison(self) -> bool:
        """Whether the value is meaningful for numbers only."""
        return self.number is not None and not _NUMBER.fullmatch(self.text)

    @property
    def pattern(self) -> str | None:
        """The text as a pattern with `*` for any characters; None without a star."""
        return self.text if "*" in self.text and not self.is_quoted else None


@dataclass(frozen=True)
class Term:
    """One term. Words to search for have the `key` "", and are the text of the only value."""

    key: str
    values: tuple[Value, ...]
    is_negated: bool = False
    start: int = 0
    end: int = 0
    key_end: int = 0

    @property
    def key_start(self) -> int:
        """The start of the key, after the minus."""
        return self.start + self.is_negated


@dataclass(frozen=True)
class Query:
    """A text and its terms."""

    text: str
    terms: tuple[Term, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """The phrases that texts must contain."""
        return tuple(term.values[0].text for term in self.terms if not term.key and not term.is_negated)

    @property
    def searches(self) -> bool:
        """Whether the query searches texts."""
        return any(not term.key for term in self.terms)


def parse(source: str) -> Query:
    """Returns the query of a text. Raises FilterError at the first word that cannot be parsed."""
    if len(source) > MOST_CHARS:
        raise FilterError(f"a filter has at most {MOST_CHARS:,} characters", start=MOST_CHARS, end=len(source))
    terms = []
    at = _skip(source, 0)
    while at < len(source):
        term = _term(source, at)
        terms.append(term)
        at = _skip(source, term.end)
        if at == term.end < len(source):
            raise FilterError("a space is missing here", start=at, end=at + 1)
    return Query(source, tuple(terms))


def _skip(source: str, at: int) -> int:
    found = _SPACE.match(source, at)
    return found.end() if found else at


def _term(source: str, start: int) -> Term:
    at = start
    is_negated = source.startswith("-", at) and _SPACE.match(source, at + 1) is None and at + 1 < len(source)
    at += is_negated
    if found := _ROLLOUT.match(source, at):
        value = _value(found[1], at + 1, found.end())
        return Term("id", (value,), is_negated=is_negated, start=start, end=found.end(), key_end=at + 1)
    named = _KEY.match(source, at)
    if named is None:
        return _words(source, start, at, is_negated=is_negated)
    key = named[1] + (_unquoted(named[2][1:-1]) if named[2] else "")
    values, end = _values(source, named.end())
    if not values:
        raise FilterError(f"“{key}:” needs a value", start=start, end=named.end())
    return Term(key, values, is_negated=is_negated, start=start, end=end, key_end=named.end() - 1)


def _words(source: str, start: int, at: int, *, is_negated: bool) -> Term:
    if found := _QUOTED.match(source, at):
        said, end = _unquoted(found[1]), found.end()
    elif found := _WORDS.match(source, at):
        said, end = found[0], found.end()
    else:
        raise FilterError("this quote is not closed", start=at, end=len(source))
    if not said.strip():
        raise FilterError("there is nothing in these quotes to search for", start=start, end=end)
    return Term("", (Value(said, start=at, end=end),), is_negated=is_negated, start=start, end=end, key_end=at)


def _values(source: str, at: int) -> tuple[tuple[Value, ...], int]:
    """Returns the alternatives from `at` on, and their end."""
    values: list[Value] = []
    while at < len(source) and _SPACE.match(source, at) is None:
        if found := _QUOTED.match(source, at):
            value = Value(_unquoted(found[1]), is_quoted=True, start=at, end=found.end())
        elif found := _WORD.match(source, at):
            value = _value(found[0], at, found.end())
        elif source[at] == '"':
            raise FilterError("this quote is not closed", start=at, end=len(source))
        else:
            raise FilterError("a value is missing before this comma", start=at, end=at + 1)
        values.append(value)
        at = value.end
        if not source.startswith(",", at):
            break
        at += 1
        if at == len(source) or _SPACE.match(source, at):
            raise FilterError("a value is missing behind this comma", start=at - 1, end=at)
    return tuple(values), at


def _value(said: str, start: int, end: int) -> Value:
    return Value(said, number=_number(said), start=start, end=end)


def _number(said: str) -> Number | None:
    if found := _COMPARED.fullmatch(said):
        limit = _decimal(found[2])
        if limit is None:
            return None
        name = {"<": "below", "<=": "most", ">": "above", ">=": "least"}[found[1]]
        return Number(**{name: limit})
    if found := _RANGE.fullmatch(said):
        low, high = _decimal(found[1]), _decimal(found[2])
        is_range = (low is not None or not found[1]) and (high is not None or not found[2])
        return Number(least=low, most=high) if is_range and said != ".." else None
    limit = _decimal(said)
    return None if limit is None else Number(least=limit, most=limit)


def _decimal(said: str) -> Decimal | None:
    if not _NUMBER.fullmatch(said):
        return None
    times = _THOUSANDS.get(said[-1].lower(), 1)
    try:
        number = Decimal(said[:-1] if times > 1 else said) * times
    except InvalidOperation:
        return None
    return number if abs(number) < Decimal("1e300") else None


def _unquoted(inside: str) -> str:
    return _ESCAPED.sub(r"\1", inside)


def _plain_number(number: Decimal) -> str:
    """Returns the shortest plain form of a number."""
    short = format(number.normalize(), "f")
    return short if len(short) < 40 else str(number)


def text(terms: Iterable[Term]) -> str:
    """Returns a query with these terms: `parse(text(terms))` gives the same terms, with new positions."""
    return " ".join(map(_write_term, terms))


def term(key: str, *values: str | float | Decimal | Number, is_negated: bool = False) -> Term:
    """Returns a term for a link: `term("env", "oolong")`, `term("reward", Number(below=Decimal(1)))`; the key ""
    searches.

    A str is a name, whatever it looks like.
    """
    return Term(key, tuple(map(_as_value, values)), is_negated=is_negated)


def _as_value(value: str | float | Decimal | Number) -> Value:
    if isinstance(value, str):
        return Value(value, is_quoted=True)
    said = str(value) if isinstance(value, Number) else _plain_number(Decimal(str(value)))
    return Value(said, number=_number(said))


def _write_term(term: Term) -> str:
    minus = "-" * term.is_negated
    if not term.key:
        return minus + _write_words(term.values[0].text)
    return f"{minus}{_write_key(term.key)}:{','.join(map(_write_value, term.values))}"


def _write_words(said: str) -> str:
    is_plain = _WORDS.fullmatch(said) and said[0] not in "-#" and ":" not in said
    return said if is_plain else _quoted(said)


def _write_key(key: str) -> str:
    if _PLAIN_KEY.fullmatch(key):
        return key
    kind, _, name = key.partition(".")
    return f"{kind}.{_quoted(name)}"


def _write_value(value: Value) -> str:
    if not value.is_quoted:
        return value.text
    is_plain = _PLAIN.fullmatch(value.text) and _number(value.text) is None and value.text != "none"
    return value.text if is_plain else _quoted(value.text)


def _quoted(said: str) -> str:
    return '"' + said.replace("\\", "\\\\").replace('"', '\\"') + '"'
