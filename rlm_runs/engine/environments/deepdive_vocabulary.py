"""The vocabulary of DeepDive's generated world: kinds of things, relations and words.

Every thing has a sort ("cartographer"), a detail ("collected brass keys") and a year. A relation leads from one
thing to another. It has two texts: one with both names for the page, and one with neither for questions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """A kind of thing, with its texts for pages and questions."""

    share: float
    """Share of all pages."""
    sorts: tuple[str, ...]
    detail: str
    """A template with places for an adjective and a noun: `{a} {b}`."""
    detail_nouns: tuple[str, ...]
    year: str
    asked_year: str
    first_year: int
    last_year: int


@dataclass(frozen=True)
class Relation:
    """A relation between two kinds. `page` has the places `{name}` and `{target}`; `question` names nothing."""

    name: str
    source: str
    target: str
    page: str
    question: str
    years_between: int | None = None
    """The number of years by which the target must be older; None for no limit."""


KINDS: Mapping[str, Kind] = {
    "person": Kind(
        share=0.4,
        sorts=(
            "astronomer", "beekeeper", "botanist", "cartographer", "clockmaker", "composer", "engraver",
            "geologist", "glassblower", "historian", "lensmaker", "linguist", "mathematician", "painter",
            "physician", "poet", "sculptor", "shipwright", "surveyor", "weaver",
        ),
        detail="collected {a} {b}",
        detail_nouns=(
            "keys", "shells", "buttons", "maps", "spoons", "feathers", "lanterns", "coins", "bells", "stamps",
        ),
        year="was born in {year}",
        asked_year="In which year was that person born?",
        first_year=1720,
        last_year=1930,
    ),
    "institution": Kind(
        share=0.15,
        sorts=(
            "academy", "archive", "conservatory", "hospital", "library", "museum", "observatory",
            "printing house",
        ),
        detail="has {a} {b}",
        detail_nouns=("gates", "windows", "staircases", "towers", "doors", "balconies", "chimneys", "fountains"),
        year="was founded in {year}",
        asked_year="In which year was that institution founded?",
        first_year=1600,
        last_year=1940,
    ),
    "place": Kind(
        share=0.15,
        sorts=("harbour town", "hill village", "island", "market town", "mining town", "river port", "spa town"),
        detail="is known for its {a} {b}",
        detail_nouns=("plums", "cheeses", "roofs", "bridges", "orchards", "ponies", "lamps", "mills"),
        year="was first mentioned in {year}",
        asked_year="In which year was that place first mentioned?",
        first_year=1150,
        last_year=1590,
    ),
    "work": Kind(
        share=0.2,
        sorts=("ballet", "fresco", "novel", "opera", "play", "song cycle", "symphony", "tapestry"),
        detail="tells of {a} {b}",
        detail_nouns=("sailors", "twins", "wolves", "letters", "storms", "orphans", "gardens", "thieves"),
        year="was finished in {year}",
        asked_year="In which year was that work finished?",
        first_year=1760,
        last_year=1985,
    ),
    "event": Kind(
        share=0.1,
        sorts=("chess tournament", "flower show", "kite contest", "poetry contest", "regatta", "ski race"),
        detail="rewards its winner with {a} {b}",
        detail_nouns=("spoons", "ribbons", "goblets", "medals", "boots", "tulips"),
        year="was first held in {year}",
        asked_year="In which year was that event first held?",
        first_year=1790,
        last_year=1990,
    ),
}  # fmt: skip

DETAIL_ADJECTIVES = (
    "amber", "brass", "carved", "copper", "crimson", "glass", "golden", "ivory", "lost", "painted", "silver",
    "striped", "tiny", "velvet", "white", "wooden",
)  # fmt: skip

RELATIONS = (
    Relation("home", "person", "place", "{name} grew up in {target}.", "That person grew up in a certain place."),
    Relation(
        "school", "person", "institution", "{name} studied at {target}.",
        "That person studied at a certain institution.", years_between=-15,
    ),
    Relation(
        "teacher", "person", "person", "{name} was a pupil of {target}.",
        "That person was a pupil of another person.", years_between=15,
    ),
    Relation(
        "fame", "person", "work", "{name} is remembered for {target}.", "That person is remembered for a work."
    ),
    Relation("seat", "institution", "place", "{name} stands in {target}.", "That institution stands in a place."),
    Relation(
        "founder", "institution", "person", "{name} was paid for by {target}.",
        "A certain person paid for that institution.", years_between=25,
    ),
    Relation(
        "treasure", "institution", "work", "{name} keeps the first sketch of {target}.",
        "That institution keeps the first sketch of a work.",
    ),
    Relation(
        "statue", "place", "person", "{name} has a statue of {target}.", "That place has a statue of a person."
    ),
    Relation("fair", "place", "event", "{name} is the home of {target}.", "That place is the home of an event."),
    Relation(
        "author", "work", "person", "{name} was made by {target}.", "That work was made by a person.",
        years_between=20,
    ),
    Relation("scene", "work", "place", "{name} is set in {target}.", "That work is set in a certain place."),
    Relation(
        "winner", "event", "person", "{name} was first won by {target}.",
        "That event was first won by a certain person.", years_between=15,
    ),
    Relation(
        "patron", "event", "institution", "{name} is organised by {target}.",
        "That event is organised by an institution.",
    ),
)  # fmt: skip

NAME_STARTS = (
    "Bel", "Bran", "Cald", "Corv", "Dorn", "Eld", "Fen", "Galt", "Harn", "Isk", "Jor", "Keld", "Lorn", "Mar",
    "Nev", "Orl", "Pell", "Quar", "Rath", "Sarn", "Tam", "Ulv", "Vest", "Wren", "Yar", "Zel",
)  # fmt: skip
NAME_MIDDLES = ("a", "e", "i", "o", "u", "ara", "eni", "ilo", "ora", "une")
NAME_ENDS: Mapping[str, tuple[str, ...]] = {
    "person": ("dek", "lin", "mott", "nik", "ris", "sen", "tov", "vane", "wick", "zar"),
    "institution": ("dran", "gald", "lith", "mond", "phor", "trine"),
    "place": ("burgh", "dale", "fjord", "holt", "mouth", "stead", "vik"),
    "event": ("lune", "mire", "quill", "skar", "thane"),
}
TITLE_FIRST = (
    "Seven", "Silent", "Borrowed", "Northern", "Hollow", "Burning", "Patient", "Distant", "Broken", "Last",
    "Second", "Sleeping", "Wandering", "Scarlet", "Unseen", "Frozen",
)  # fmt: skip
TITLE_LAST = (
    "Harbours", "Ladders", "Mirrors", "Rivers", "Crowns", "Winters", "Candles", "Ravens", "Islands", "Clocks",
    "Meadows", "Bridges", "Shadows", "Oaths", "Comets", "Sisters",
)  # fmt: skip

ASIDES = (
    "Little else is certain.",
    "Older accounts disagree on the rest.",
    "The parish books burned long ago.",
    "A plaque recalls it.",
    "Visitors often ask about it.",
    "Several letters on the matter survive.",
    "The details were disputed for decades.",
    "A short film was made about it.",
)
