"""The score of an Oolong answer, by the benchmark's rules for the answer's type.

Numbers earn 0.75 ** |error|, dates are parsed, comparisons are matched by their phrase, and lists earn the share
of the gold items that are named. Everything else must equal the gold text, ignoring case.
"""

from __future__ import annotations

import re
from datetime import date, datetime

from .boxed import unboxed

COMPARISONS = ("more common than", "less common than", "same frequency as")
ANSWER_TYPES = ("number", "label", "user", "date", "month", "comparison", "list", "text")

DATE_FORMATS = (
    "%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%B %d %Y", "%d %b %Y", "%d %B %Y", "%Y-%m-%d", "%Y/%m/%d", "%m/%d/%Y",
    "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S",
)  # fmt: skip
MONTH_FORMATS = ("%B %Y", "%b %Y", "%B, %Y", "%b, %Y", "%Y-%m", "%m/%Y")


def final_answer(answer: str) -> str:
    """Returns the bare final answer: the box, else the text after the last `Answer:` or similar."""
    text = unboxed(answer)
    text = re.sub(r"\\text\{([^{}]*)\}", r"\1", text)
    marked = re.findall(r"(?im)^.*\b(?:answer|label|user|date|month)\b[*_`'\" ]*:[*_`'\" ]*(.+)$", text)
    return _bare(marked[-1] if marked else text)


def official_score(answer: str, *, gold: str, answer_type: str) -> float:
    """Returns the reward, from 0 to 1, by the rule of the answer type."""
    said = final_answer(answer)
    if answer_type == "number":
        return _number_score(said, gold=gold)
    if answer_type == "user":
        return float(_numbers(said)[-1:] == [gold.strip()])
    if answer_type == "comparison":
        return float(_comparison(said) == _comparison(gold))
    if answer_type == "date":
        return float(_date(said) is not None and _date(said) == _date(gold))
    if answer_type == "month":
        return float(_month(said) is not None and _month(said) == _month(gold))
    if answer_type == "list":
        wanted = _items(gold)
        return len(wanted & _items(said)) / len(wanted) if wanted else float(not said)
    return float(exact_match(answer, gold=gold))


def exact_match(answer: str, *, gold: str) -> bool:
    """Returns whether the final answer is the gold text, ignoring case and white space."""
    return _plain(final_answer(answer)) == _plain(_bare(gold))


def contains_answer(answer: str, *, gold: str) -> bool:
    """Returns whether the answer contains the gold text as whole words or numbers."""
    return re.search(rf"(?<!\w){re.escape(_plain(gold))}(?!\w)", _plain(answer)) is not None


def _bare(text: str) -> str:
    return text.strip(" \t\r\n*`'\"[]().")


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


def _number_score(said: str, *, gold: str) -> float:
    numbers = _numbers(said)
    if not numbers or len(numbers[-1]) > 15:
        return 0.0
    score: float = 0.75 ** abs(float(gold) - float(numbers[-1]))
    return score if score > 1e-6 else 0.0


def _numbers(said: str) -> list[str]:
    """Returns all numbers. The last one counts: models say "of the 40 messages, 3" and rarely "3 of 40"."""
    return re.findall(r"-?\d+(?:\.\d+)?", re.sub(r"(?<=\d),(?=\d{3})", "", said))


def _comparison(said: str) -> str | None:
    text = _plain(said)
    named = [phrase for phrase in COMPARISONS if phrase.rsplit(" ", 1)[0] in text]
    return named[0] if len(named) == 1 else None


def _date(said: str) -> date | None:
    return _parsed(said, formats=DATE_FORMATS)


def _month(said: str) -> date | None:
    month = _parsed(said, formats=(*MONTH_FORMATS, *DATE_FORMATS))
    return month and month.replace(day=1)


def _parsed(said: str, *, formats: tuple[str, ...]) -> date | None:
    text = re.sub(r"(?<=\d)(st|nd|rd|th)\b", "", " ".join(said.split()))
    for form in formats:
        try:
            # A date without a time has no time zone.
            return datetime.strptime(text, form).date()  # noqa: DTZ007
        except ValueError:
            continue
    return None


def _items(text: str) -> set[str]:
    return {item for item in (_plain(part).strip(" '\"[]") for part in text.split(",")) if item}
