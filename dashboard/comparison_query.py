"""The URL of a comparison, and URLs that differ from it in one thing.

`arm` names the arms in order: the first is A, the baseline, the second is B. Other parts are in the URL only if
they differ from their defaults. `baseline=ID` and `second=ID` move an arm to the first and second place, and
`without=ID` removes one: short changes to a URL that names all arms.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, TypeVar

from django.core.exceptions import BadRequest
from django.http import Http404, QueryDict
from django.utils.http import urlencode

from rlm_runs.analysis.aggregates import Unscored, differing_settings
from rlm_runs.analysis.aggregates.matrix import DISAGREEMENT, EXAMPLE, Show
from rlm_runs.analysis.aggregates.measures import MEASURES, Measure
from rlm_runs.models import Arm

MOST_ARMS = 24
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
PRICES = ("main_tokens", "tokens", "cost", "seconds")
"""Measures that can be plotted against reward on the Pareto front."""
_DEFAULT_MEASURES = ("reward", "main_tokens", "sub_tokens", "cost", "seconds", "turns", "cells", "sub_calls")
_MOST_NAMED = 200
_LONGEST = 80
"""The maximum length of an arm's title, in characters. A page has 24 titles in a dozen places each."""

EnumT = TypeVar("EnumT", bound=Enum)


@dataclass(frozen=True)
class ComparisonQuery:
    """The state of the page. `every_measure` and `every_setting` show more than the usual ones."""

    arms: tuple[int, ...] = ()
    unscored: Unscored = Unscored.EXCLUDE
    sort: str = DISAGREEMENT
    show: Show = Show.ALL
    page: int = 1
    price: str = PRICES[0]
    every_measure: bool = False
    every_setting: bool = False

    @classmethod
    def of(cls, parts: QueryDict) -> ComparisonQuery:
        """Returns the choices of a query string. Raises BadRequest for invalid parts."""
        numbers = [_number(text, "arm") for text in parts.getlist("arm")[:_MOST_NAMED]]
        arms = tuple(dict.fromkeys(numbers))
        for name, place in (("baseline", 0), ("second", 1), ("without", None)):
            if (text := parts.get(name, "")) and (chosen := _number(text, name)) in arms:
                arms = _moved(arms, chosen, to=place)
        sort = parts.get("sort", DISAGREEMENT)
        if sort not in (DISAGREEMENT, EXAMPLE):
            _number(sort.removeprefix("-"), "sort")
        price = parts.get("measure", PRICES[0])
        if price not in PRICES:
            raise BadRequest(f"measure must be one of {', '.join(PRICES)}")
        return cls(
            arms=arms,
            unscored=_member(Unscored.EXCLUDE, parts, "unscored"),
            sort=sort,
            show=_member(Show.ALL, parts, "show"),
            page=_number(parts.get("page", "1"), "page"),
            price=price,
            every_measure=parts.get("measures") == "all",
            every_setting=parts.get("settings") == "all",
        )

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The parts of the URL that differ from their defaults."""
        chosen = {
            "unscored": self.unscored.value,
            "sort": self.sort,
            "show": self.show.value,
            "page": str(self.page),
            "measure": self.price,
            "measures": "all" if self.every_measure else "",
            "settings": "all" if self.every_setting else "",
        }
        pairs = [("arm", str(arm)) for arm in self.arms]
        return pairs + [(name, value) for name, value in chosen.items() if value != _DEFAULTS[name]]

    def query(self, **changes: Any) -> str:
        """Returns the query string, including the `?`, with some fields changed. The page is reset to 1."""
        return "?" + urlencode(replace(self, **{"page": 1, **changes}).pairs)

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The measures of the table, including the price of the Pareto front."""
        names = tuple(MEASURES) if self.every_measure else _DEFAULT_MEASURES
        return tuple(MEASURES[name] for name in dict.fromkeys((*names, self.price)))

    @property
    def swapped(self) -> tuple[int, ...]:
        """The arms with A and B swapped."""
        return (*self.arms[1::-1], *self.arms[2:])

    def adding(self, arms: Iterable[int]) -> tuple[int, ...]:
        """Returns the arms with these added at the end, as far as there is room."""
        return tuple(dict.fromkeys((*self.arms, *arms)))[:MOST_ARMS]


_DEFAULTS = {
    "unscored": Unscored.EXCLUDE.value,
    "sort": DISAGREEMENT,
    "show": Show.ALL.value,
    "page": "1",
    "measure": PRICES[0],
    "measures": "",
    "settings": "",
}


def _moved(arms: tuple[int, ...], arm: int, *, to: int | None) -> tuple[int, ...]:
    """Returns the arms with this one moved; without it if `to` is None."""
    others = [other for other in arms if other != arm]
    return tuple(others) if to is None else (*others[:to], arm, *others[to:])


def _number(text: str, name: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 18 or int(text) < 1:
        raise BadRequest(f"{name} must be a whole number from 1 on")
    return int(text)


def _member(default: EnumT, parts: QueryDict, name: str) -> EnumT:
    kind = type(default)
    try:
        return kind(parts.get(name, default.value))
    except ValueError:
        raise BadRequest(f"{name} must be one of {', '.join(str(each.value) for each in kind)}") from None


@dataclass(frozen=True)
class NamedArm:
    """An arm of a comparison with its letter. `title` distinguishes it from the others."""

    letter: str
    arm: Arm
    title: str

    @property
    def name(self) -> str:
        """Letter and scaffold, the most that a figure has room for."""
        return f"{self.letter} {self.arm.scaffold_title}"


def with_letters(arms: Sequence[Arm]) -> tuple[NamedArm, ...]:
    """Returns the arms with letters and titles, at most as many as there are letters.

    The arms must have their experiment loaded.
    """
    titles = arm_titles(arms)
    if len(set(titles)) < len(titles):
        pairs = zip(titles, arms, strict=True)
        titles = [f"{title} · {shortened(arm.experiment.name, most=_LONGEST // 2)}" for title, arm in pairs]
    return tuple(
        NamedArm(letter=letter, arm=arm, title=title)
        for letter, arm, title in zip(LETTERS, arms, titles, strict=False)
    )


def arm_titles(arms: Sequence[Arm]) -> list[str]:
    """Returns a title for each arm: its scaffold, and what distinguishes it from the others."""
    differing = differing_settings(arms)
    return [shortened(_title(arm, differing[arm.pk], arms), most=_LONGEST) for arm in arms]


def shortened(name: str, *, most: int) -> str:
    """Returns at most `most` characters of a name, ending in … if it is cut."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _title(arm: Arm, differing: Iterable[tuple[str, str]], arms: Sequence[Arm]) -> str:
    words = [arm.scaffold_title]
    if len({other.environment for other in arms}) > 1:
        words.append(arm.environment)
    words += [value if key == "model" else f"{key} {value}" for key, value in differing if value != "none"]
    return " · ".join(words)


@dataclass(frozen=True)
class ChosenArms:
    """The choices for the existing arms, and these arms. `missing` are ids without an arm; `dropped` counts arms
    beyond the limit.
    """

    asked: ComparisonQuery
    arms: tuple[NamedArm, ...]
    missing: tuple[int, ...]
    dropped: int


def find_arms(parts: QueryDict) -> ChosenArms:
    """Returns the arms of a query string. One query.

    Raises BadRequest for invalid parts, and Http404 if no named arm exists.
    """
    asked = ComparisonQuery.of(parts)
    by_id: Mapping[int, Arm] = (
        Arm.objects.filter(experiment__deleted_at=None, experiment__forks_of=None)
        .select_related("experiment", "decision")
        .defer("experiment__spec", "experiment__sources")
        .in_bulk(asked.arms)
    )
    existing = [by_id[pk] for pk in asked.arms if pk in by_id]
    if asked.arms and not existing:
        raise Http404("none of these arms exists")
    kept = existing[:MOST_ARMS]
    ids = tuple(arm.pk for arm in kept)
    columns = {DISAGREEMENT, EXAMPLE, *map(str, ids), *(f"-{pk}" for pk in ids)}
    return ChosenArms(
        # Sorting by an arm ends when the arm is removed.
        asked=replace(asked, arms=ids, sort=asked.sort if asked.sort in columns else DISAGREEMENT),
        arms=with_letters(kept),
        missing=tuple(pk for pk in asked.arms if pk not in by_id),
        dropped=len(existing) - len(kept),
    )
