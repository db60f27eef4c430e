"""Follows a trail from page to page: chooses the next search or page from what was seen so far.

The reader knows the trail's words, the pages that tools returned, and its own rules about which phrase on a page
answers which phrase of a trail.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..conversation import Reply, Step

AT_ONCE = 5
"""The number of pages that a careful reader opens together, to see which one fits."""

HOPS = (
    ("grew up", "grew up in"), ("studied", "studied at"), ("pupil", "was a pupil of"),
    ("remembered", "is remembered for"), ("stands", "stands in"), ("paid", "was paid for by"),
    ("sketch", "keeps the first sketch of"), ("statue", "has a statue of"), ("home of", "is the home of"),
    ("made by", "was made by"), ("is set", "is set in"), ("first won", "was first won by"),
    ("organised", "is organised by"),
)  # fmt: skip
YEAR = r"(?:born|founded|mentioned|finished|held) in (\d{4})\."


@dataclass(frozen=True)
class Found:
    """The end of a trail as far as it was followed; without a name if it was lost."""

    name: str = ""
    year: int | None = None


@dataclass(frozen=True)
class Habits:
    """Reading habits: whether a start is checked against its clues, and how often a wrong link is taken."""

    careful: bool
    slips: float
    rng: Callable[[str], random.Random]


@dataclass(frozen=True)
class Notes:
    """The pages seen so far: the URLs of each query's results, and the text of each page."""

    results: dict[str, list[str]]
    pages: dict[str, str]


def notes_of(steps: Sequence[Step]) -> Notes:
    """Returns the notes from the tools' output, whatever it is."""
    results: dict[str, list[str]] = {}
    pages: dict[str, str] = {}
    for step in steps:
        if "query" in step.arguments:
            results[str(step.arguments["query"])] = re.findall(r"^   URL: (\S+)$", step.shown, re.MULTILINE)
        for page in re.split(r"(?m)^=== (?=\S+$)", step.shown)[1:]:
            url, _, text = page.partition("\n")
            pages[url] = text.strip()
    return Notes(results=results, pages=pages)


def follow(trail: str, notes: Notes, habits: Habits) -> Reply | Found:
    """Returns the next call of a tool, or the end of the trail."""
    start, *hops = [sentence.strip() for sentence in re.findall(r"[^.?]+\.", trail)] or [""]
    here = _start(start, notes, habits)
    for number, hop in enumerate(hops):
        if not isinstance(here, str):
            return here
        if here not in notes.pages:
            return _open([here], f"The trail goes on there: {hop}")
        here = _next_page(notes.pages[here], hop, habits=habits, name=f"{trail} {number}")
    if not isinstance(here, str):
        return here
    if here not in notes.pages:
        return _open([here], "This should be the end of the trail; I look at it, and at its year.")
    year = re.search(YEAR, notes.pages[here])
    return Found(_title(notes.pages[here]), int(year[1]) if year else None)


def _start(start: str, notes: Notes, habits: Habits) -> str | Reply | Found:
    query = " ".join(re.findall(r"\w+", re.sub(r"^An? | (?:was|and|is|its|with|in|the)\b(?= )", " ", start)))[:200]
    if query not in notes.results:
        return Reply(
            content="I search for where the trail starts.",
            reasoning=f"All that is told of it: {start}",
            tool="search",
            arguments={"query": query},
        )
    urls = notes.results[query]
    fitting = [url for url in urls if _fits(start, notes.pages.get(url, ""))]
    if fitting or not urls:
        return fitting[0] if fitting else Found()
    if not habits.careful:
        return urls[0]
    unseen = [url for url in urls if url not in notes.pages]
    return _open(unseen[:AT_ONCE], "Several could be it; I compare them with the clues.") if unseen else Found()


def _fits(start: str, page: str) -> bool:
    """Returns whether a page matches the description in the trail's first sentence."""
    told = re.match(r"An? (.+?) ((?:collected|has|is|tells|rewards|was) .+)\.$", start)
    if told is None or not re.search(rf" an? {re.escape(told[1])}\.", page):
        return False
    decade = re.search(r"in the (\d{3})0s", told[2])
    year = re.search(YEAR, page)
    if decade and (year is None or year[1][:3] != decade[1]):
        return False
    detail = re.sub(
        r"(?: and )?was (?:born|founded|first mentioned|finished|first held) in the \d{4}s", "", told[2]
    )
    return detail in page


def _next_page(page: str, hop: str, *, habits: Habits, name: str) -> str | Found:
    phrase = next((phrase for word, phrase in HOPS if word in hop), None)
    told = phrase and re.search(rf" {phrase} ([^.]+)\.", page)
    links: dict[str, str] = dict(re.findall(r"^- (.+): (\S+)$", page, re.MULTILINE))
    right = links.get(told[1]) if told else None
    if right is None:
        return Found()
    rng = habits.rng(f"slip {name}")
    others = [url for url in links.values() if url != right]
    return rng.choice(others) if others and rng.random() < habits.slips else right


def _title(page: str) -> str:
    return page.partition("\n")[0].strip()


def _open(urls: list[str], why: str) -> Reply:
    return Reply(content="I open what I need to read.", reasoning=why, tool="open", arguments={"urls": urls})
