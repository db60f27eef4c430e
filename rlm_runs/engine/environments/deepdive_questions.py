"""DeepDive's generated questions: trails through the graph, described by attributes instead of names.

A trail starts at a thing that is described but never named, and hops along relations. A description is as short as
possible while it fits only one thing. `ends_of` searches the whole graph for the ends of a trail; a question is
kept only if it has exactly one.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .deepdive_graph import Graph, Thing, with_article
from .deepdive_vocabulary import KINDS, RELATIONS, Relation

ENDS = {
    "person": "What is the name of that person?",
    "institution": "What is the name of that institution?",
    "place": "What is the name of that place?",
    "work": "What is the title of that work?",
    "event": "What is the name of that event?",
}
OLDEST = (
    "Each trail ends at one thing. Which of these has the earliest year (of birth, of foundation, of first "
    "mention, of completion, of being first held)? Answer with its name alone."
)


@dataclass(frozen=True)
class Description:
    """The description of a trail's start. Parts that are None or "" are left out."""

    kind: str
    sort: str
    detail: str = ""
    decade: int | None = None

    def fits(self, thing: Thing) -> bool:
        """Returns whether the description is true of the thing."""
        return (
            (thing.kind, thing.sort) == (self.kind, self.sort)
            and self.detail in ("", thing.detail)
            and self.decade in (None, thing.year // 10 * 10)
        )

    @property
    def text(self) -> str:
        """The description as a sentence, such as "A poet collected brass keys and was born in the 1880s."."""
        told = [self.detail] if self.detail else []
        if self.decade is not None:
            told.append(KINDS[self.kind].year.format(year=f"the {self.decade}s"))
        noun = with_article(self.sort)
        return f"{noun[0].upper()}{noun[1:]} {' and '.join(told)}."


@dataclass(frozen=True)
class Trail:
    """A start and the hops from it."""

    start: Description
    hops: tuple[Relation, ...]

    @property
    def text(self) -> str:
        """The trail as text of a question."""
        return " ".join([self.start.text, *(hop.question for hop in self.hops)])

    @property
    def end_kind(self) -> str:
        """The kind of thing at the end of the trail."""
        return self.hops[-1].target


@dataclass(frozen=True)
class Question:
    """A generated question. `asks` is name, year or oldest; figures may group by it."""

    text: str
    answer: str
    asks: str
    hops: int


def ends_of(trail: Trail, graph: Graph) -> set[int]:
    """Returns all things to which the described trail may lead."""
    reached = {thing.number for thing in graph.things if trail.start.fits(thing)}
    for hop in trail.hops:
        reached = {graph.links[number, hop.name] for number in reached if (number, hop.name) in graph.links}
    return reached


def question(rng: random.Random, *, graph: Graph, hops: range, trails: int) -> Question:
    """Returns a question of `trails` trails with exactly one answer."""
    while True:
        walked = [_trail(rng, graph=graph, hops=rng.choice(hops)) for _ in range(trails)]
        ends = [graph.things[number] for trail in walked for number in ends_of(trail, graph)]
        if len({end.year for end in ends}) == trails and len({trail.start for trail in walked}) == trails:
            break
    steps = sum(len(trail.hops) for trail in walked)
    if trails > 1:
        lines = [f"Trail {number}: {trail.text}" for number, trail in enumerate(walked, start=1)]
        oldest = min(ends, key=lambda end: end.year)
        return Question("\n".join([*lines, OLDEST]), answer=oldest.name, asks="oldest", hops=steps)
    (trail,), (end,) = walked, ends
    if rng.random() < 0.3:
        text = f"{trail.text} {KINDS[end.kind].asked_year}"
        return Question(text, answer=str(end.year), asks="year", hops=steps)
    return Question(f"{trail.text} {ENDS[end.kind]}", answer=end.name, asks="name", hops=steps)


def _trail(rng: random.Random, *, graph: Graph, hops: int) -> Trail:
    """Returns a random walk that visits nothing twice."""
    while True:
        start = rng.choice(graph.things)
        description = _description(rng, start, graph.things)
        walked = _walk(rng, start, graph=graph, hops=hops)
        if description is None or walked is None:
            continue
        trail = Trail(start=description, hops=walked)
        if len(ends_of(trail, graph)) == 1:
            return trail


def _walk(rng: random.Random, start: Thing, *, graph: Graph, hops: int) -> tuple[Relation, ...] | None:
    here, seen, walked = start, {start.number}, []
    for _ in range(hops):
        ways = [
            relation
            for relation in RELATIONS
            if relation.source == here.kind
            and graph.links.get((here.number, relation.name), here.number) not in seen
        ]
        if not ways:
            return None
        relation = rng.choice(ways)
        here = graph.things[graph.links[here.number, relation.name]]
        seen.add(here.number)
        walked.append(relation)
    return tuple(walked)


def _description(rng: random.Random, thing: Thing, things: Sequence[Thing]) -> Description | None:
    """Returns a shortest description that fits only this thing, chosen at random; None if there is none."""
    decade = thing.year // 10 * 10
    short = [
        Description(thing.kind, thing.sort, decade=decade),
        Description(thing.kind, thing.sort, detail=thing.detail),
    ]
    rng.shuffle(short)
    full = Description(thing.kind, thing.sort, detail=thing.detail, decade=decade)
    return next((one for one in [*short, full] if _fits_one(one, things)), None)


def _fits_one(description: Description, things: Iterable[Thing]) -> bool:
    return sum(description.fits(thing) for thing in things) == 1
