"""Filter chips: the terms of a query, each with the query without it, and menus of values that write terms."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from rlm_runs.analysis import filters
from rlm_runs.analysis.filters import Query, Term
from rlm_runs.engine.scaffolds import registry
from rlm_runs.models import Experiment

_MOST_VALUES = 16
_NAMES = {
    "scaffold": "Scaffold",
    "env": "Environment",
    "model": "Model",
    "outcome": "Outcome",
    "failure": "Failure mode",
    "tag": "Tag",
}
_NUMBERS = {
    "Reward": ("reward:0", "reward:<1", "reward:1", "reward:none"),
    "Sub-calls": ("subcalls:0", "subcalls:>0", "subcalls:>10"),
    "Cell errors": ("errors:0", "errors:>0"),
    "Cost": ("cost:<0.01", "cost:>=0.1", "cost:none"),
}
EXAMPLES = (
    ("scaffold:rlm reward:0", "RLM rollouts that failed the task"),
    ("env:oolong outcome:too_long", "prompts that the server refused as too long"),
    ("reward:<1 subcalls:>10", "many sub-calls, and still wrong"),
    ("failure:none reward:0", "wrong, and no rule says why"),
    ("-stop:max_turns errors:>=1", "cell errors, but not out of turns"),
    ("cost:>0.1 seconds:..60", "over ten cents in at most a minute"),
    ('"first split the context"', "a phrase in prompts, code, outputs or answers"),
    ("set.max_turns:30 metric.exact_match:0", "by a setting and a metric"),
)
"""Queries with their meaning, for the help."""


@dataclass(frozen=True)
class Chip:
    """One term of a query as text, and the query without it."""

    text: str
    without: str


@dataclass(frozen=True)
class Choice:
    """One value of a menu, and the query with it added, or removed if `is_on`."""

    label: str
    query: str
    is_on: bool


@dataclass(frozen=True)
class Menu:
    """The values of one key."""

    title: str
    choices: tuple[Choice, ...]


def chips(query: Query) -> list[Chip]:
    """Returns a chip per term of a query."""
    terms = query.terms
    return [
        Chip(filters.text([term]), filters.text([*terms[:at], *terms[at + 1 :]])) for at, term in enumerate(terms)
    ]


def menus(query: Query, *, experiment: Experiment | None) -> list[Menu]:
    """Returns the menus of names and numbers. Omits keys without values."""
    named = [
        Menu(title, tuple(_named(query, key, value) for value in known[:_MOST_VALUES]))
        for key, title in _NAMES.items()
        if (known := filters.known_values(key, experiment=experiment))
    ]
    numbers = [
        Menu(title, tuple(_number(query, *filters.parse(said).terms) for said in written))
        for title, written in _NUMBERS.items()
    ]
    return [*named, *numbers]


def _named(query: Query, key: str, value: str) -> Choice:
    """Returns the choice of a name. It adds the name to those of its key, or removes it."""
    term = _term_of(query.terms, key)
    names = [each.text for each in term.values] if term else []
    is_on = value in names
    kept = [name for name in names if name != value] if is_on else [*names, value]
    label = registry.title(value) if key == "scaffold" else value.replace("_", " ")
    changed = filters.parse(_written(key, kept)).terms if kept else ()
    return Choice(label, _with(query.terms, term, changed), is_on)


def _number(query: Query, wanted: Term) -> Choice:
    """Returns the choice of a comparison. It replaces the comparison of its key."""
    term = _term_of(query.terms, wanted.key)
    text = filters.text([wanted])
    is_on = term is not None and filters.text([term]) == text
    return Choice(text.partition(":")[2], _with(query.terms, term, () if is_on else (wanted,)), is_on)


def _term_of(terms: Iterable[Term], key: str) -> Term | None:
    return next((term for term in terms if term.key.lower() == key and not term.is_negated), None)


def _written(key: str, names: Sequence[str]) -> str:
    return filters.text([filters.term(key, *names)])


def _with(terms: Sequence[Term], old: Term | None, new: Sequence[Term]) -> str:
    """Returns the query with the term `old` replaced by `new`. If `old` is None, appends `new`."""
    if old is None:
        return filters.text([*terms, *new])
    return filters.text([part for term in terms for part in (new if term is old else (term,))])


def readable(query: Query) -> Query:
    """Returns the query, or an empty one if its text is invalid, so that the menus start from nothing."""
    try:
        return filters.parse(query.text)
    except filters.FilterError:
        return replace(query, text="", terms=())
