"""DeepDive's generated world: a seeded graph of invented things, each with a page that links to others."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from .deepdive_vocabulary import (
    ASIDES,
    DETAIL_ADJECTIVES,
    KINDS,
    NAME_ENDS,
    NAME_MIDDLES,
    NAME_STARTS,
    RELATIONS,
    TITLE_FIRST,
    TITLE_LAST,
    Relation,
)
from .vocabulary import NAMES

SITE = "https://atlas.example"
"""No name under the reserved domain `.example` is ever a real host (RFC 2606)."""
LINK_SHARE = 0.9
"""Share of the possible relations that a thing has."""


@dataclass(frozen=True)
class Thing:
    """A person, an institution, a place, a work or an event."""

    number: int
    kind: str
    name: str
    sort: str
    detail: str
    year: int

    @property
    def url(self) -> str:
        """The address of the thing's page."""
        return f"{SITE}/{self.kind}/{re.sub(r'[^a-z]+', '-', self.name.lower())}"


@dataclass(frozen=True)
class Page:
    """A page as `search` finds it and `open` shows it."""

    url: str
    title: str
    text: str


@dataclass(frozen=True)
class Graph:
    """The things, their relations and their pages. `links` maps a thing's number and a relation's name to another
    thing's number.
    """

    things: tuple[Thing, ...]
    links: Mapping[tuple[int, str], int]
    pages: tuple[Page, ...]


@lru_cache(maxsize=4)
def graph(*, pages: int, seed: int) -> Graph:
    """Returns the world of a size and a seed, always the same."""
    rng = random.Random(f"deepdive graph|{pages}|{seed}")
    things = _things(rng, count=pages)
    links = _links(rng, things)
    return Graph(things=things, links=links, pages=tuple(_page(rng, thing, things, links) for thing in things))


def _things(rng: random.Random, *, count: int) -> tuple[Thing, ...]:
    kinds = [kind for name, kind in KINDS.items() for _ in range(max(5, round(kind.share * count)))]
    names = {id(kind): name for name, kind in KINDS.items()}
    taken: set[str] = set()
    things = []
    for number, kind in enumerate(kinds):
        sort = rng.choice(kind.sorts)
        detail = kind.detail.format(a=rng.choice(DETAIL_ADJECTIVES), b=rng.choice(kind.detail_nouns))
        things.append(
            Thing(
                number=number,
                kind=names[id(kind)],
                name=_name(rng, kind=names[id(kind)], sort=sort, taken=taken),
                sort=sort,
                detail=detail,
                year=rng.randint(kind.first_year, kind.last_year),
            )
        )
    return tuple(things)


def _name(rng: random.Random, *, kind: str, sort: str, taken: set[str]) -> str:
    """Returns a name whose own part no other thing has, so that no name is part of another."""
    while True:
        if kind == "work":
            own = f"The {rng.choice(TITLE_FIRST)} {rng.choice(TITLE_LAST)}"
            own += f" of {_root(rng, kind=rng.choice(list(NAME_ENDS)))}"
        else:
            own = _root(rng, kind=kind)
        root = own.split()[-1]
        if root not in taken:
            taken.add(root)
            break
    if kind == "person":
        return f"{rng.choice(NAMES)} {own}"
    return own if kind in ("place", "work") else f"{own} {sort.title()}"


def _root(rng: random.Random, *, kind: str) -> str:
    return rng.choice(NAME_STARTS) + rng.choice(NAME_MIDDLES) + rng.choice(NAME_ENDS[kind])


def _links(rng: random.Random, things: tuple[Thing, ...]) -> dict[tuple[int, str], int]:
    by_kind = {kind: [thing for thing in things if thing.kind == kind] for kind in KINDS}
    links: dict[tuple[int, str], int] = {}
    for relation in RELATIONS:
        for thing in by_kind[relation.source] if relation.name != "fame" else ():
            fitting = [t for t in by_kind[relation.target] if t is not thing and _fits(relation, thing, t)]
            if fitting and rng.random() < LINK_SHARE:
                links[thing.number, relation.name] = rng.choice(fitting).number
    # A maker of works is known for only one of them.
    for work in by_kind["work"]:
        author = links.get((work.number, "author"))
        if author is not None:
            links.setdefault((author, "fame"), work.number)
    return links


def _fits(relation: Relation, source: Thing, target: Thing) -> bool:
    return relation.years_between is None or source.year - target.year >= relation.years_between


def _page(
    rng: random.Random, thing: Thing, things: tuple[Thing, ...], links: Mapping[tuple[int, str], int]
) -> Page:
    told = [
        f"{thing.name} {'was' if thing.kind == 'person' else 'is'} {with_article(thing.sort)}.",
        f"{thing.name} {KINDS[thing.kind].year.format(year=thing.year)}.",
        f"{thing.name} {thing.detail}.",
    ]
    linked = []
    for relation in RELATIONS:
        if (target := links.get((thing.number, relation.name))) is not None:
            told.append(relation.page.format(name=thing.name, target=things[target].name))
            linked.append(f"- {things[target].name}: {things[target].url}")
    first, *rest = told
    rest += rng.sample(ASIDES, k=2)
    rng.shuffle(rest)
    text = "\n".join([" ".join([first, *rest]), "", "Linked pages:", *linked])
    return Page(url=thing.url, title=thing.name, text=text)


def with_article(noun: str) -> str:
    """Returns the noun with its indefinite article."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
