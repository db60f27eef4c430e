"""Terms as a condition on rollouts.

A term and its negation share no rollout, and together match all. An unknown value therefore fails every comparison
and passes every negated one.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import reduce
from operator import and_, or_
from typing import Any

from django.db.models import BooleanField, Q
from django.db.models.functions import Coalesce
from django.db.models.lookups import (
    Exact,
    GreaterThan,
    GreaterThanOrEqual,
    IsNull,
    LessThan,
    LessThanOrEqual,
    Regex,
)

from rlm_runs.models import Arm, Rollout
from rlm_runs.models.texts import escape

from .. import search
from .keys import (
    KEYS,
    KINDS,
    SETTINGS,
    Key,
    Kind,
    json_number,
    json_text,
    key_named,
)
from .language import FilterError, Number, Query, Term, Value
from .reviews import reviewed_by, with_note, with_score, with_tag

Find = Callable[[str], search.Matches]
NONE = "none"
"""The word for an unknown value."""
_LARGEST = Decimal(2**62)
_MOST_ARMS = 2_000
"""The maximum number of arms that are looked up by id; more are left to the database."""
_NOTHING = Q(pk__in=[])
_UNSCORED = Q(status__in=["completed", "failed"], reward=None)
_TOLD_APART = ("prompt_too_long", "unjudged")

OUTCOMES: Mapping[str, Q] = {
    "scored": Q(status__in=["completed", "failed"], reward__isnull=False),
    "too_long": _UNSCORED & Q(stop_reason="prompt_too_long"),
    "unjudged": _UNSCORED & Q(stop_reason="unjudged"),
    "failed": _UNSCORED & ~Q(stop_reason__in=_TOLD_APART),
    "cancelled": Q(status=Rollout.Status.CANCELLED),
    "unfinished": Q(status__in=[Rollout.Status.QUEUED, Rollout.Status.RUNNING]),
}
"""The outcomes of `aggregates.frame.Outcome`."""


def condition(query: Query, *, find: Find = search.find) -> Q:
    """Returns the condition on rollouts. Raises FilterError for an unknown key or a malformed number.

    `find` searches phrases, with two queries each. Terms about arms take one query together. There are no other
    queries.
    """
    words = [term for term in query.terms if not term.key]
    if len(words) > search.MOST_WORDS:
        raise FilterError(
            f"at most {search.MOST_WORDS} words are searched for at once; a phrase in quotes is one",
            start=words[search.MOST_WORDS].start,
            end=words[search.MOST_WORDS].end,
        )
    of_arms = [term for term in query.terms if term.key and key_of(query, term).of_arm]
    others = [_condition(query, term, find) for term in query.terms if term not in of_arms]
    if of_arms:
        others.append(_of_arms(reduce(and_, (_condition(query, term, find) for term in of_arms))))
    return reduce(and_, others, Q())


def _of_arms(found: Q) -> Q:
    """Returns the condition on rollouts of these arms.

    The arms are looked up first, because their ids lead to their rollouts by an index and tell the database how
    many there are.
    """
    arms = Arm.objects.filter(found).order_by().values("pk")
    ids = [arm["pk"] for arm in arms[: _MOST_ARMS + 1]]
    return Q(arm__in=ids if len(ids) <= _MOST_ARMS else arms)


def _condition(query: Query, term: Term, find: Find) -> Q:
    if not term.key:
        found = _with_words(term, find)
    else:
        key = key_of(query, term)
        found = reduce(or_, (_alternative(query, key, value) for value in term.values))
    return ~Q(Coalesce(found, False, output_field=BooleanField())) if term.is_negated else found


def _with_words(term: Term, find: Find) -> Q:
    try:
        return find(term.values[0].text).condition()
    except search.NotSearchable as error:
        raise FilterError(str(error), start=term.start, end=term.end) from error


def key_of(query: Query, term: Term) -> Key:
    """Returns the key of a term. Raises FilterError with the known keys and a suggestion."""
    key = key_named(term.key)
    if key is not None:
        return key
    alike = difflib.get_close_matches(term.key.lower(), KEYS, n=1, cutoff=0.6)
    suggestion = query.text[: term.key_start] + alike[0] + query.text[term.key_end :] if alike else ""
    raise FilterError(
        f"there is no key “{term.key}”; words with a colon are searched for in quotes",
        start=term.key_start,
        end=term.key_end,
        allowed=[*KEYS, *(f"{family}.…" for family in KINDS)],
        suggestion=suggestion,
    )


def _alternative(query: Query, key: Key, value: Value) -> Q:
    if key.family:
        return _in_json(key, value)
    if key.is_numeric:
        return _numeric(key, value)
    if key.kind is Kind.OUTCOME:
        return OUTCOMES.get(value.text, _NOTHING)
    if key.kind is Kind.MODES:
        return Q(failure_modes=[]) if _is_none(value) else Q(failure_modes__contains=[escape(value.text)])
    if key.kind is Kind.NOTE:
        return with_note(value, is_none=_is_none(value))
    if key.name in ("tag", "reviewed_by"):
        named = with_tag if key.name == "tag" else reviewed_by
        regex = _regex(value.pattern) if value.pattern is not None else ""
        return named(value, is_none=_is_none(value), regex=regex)
    assert isinstance(key.column, str)
    if value.pattern is not None:
        return Q(**{f"{key.column}__regex": _regex(value.pattern)})
    return Q(**{key.column: "" if _is_none(value) else escape(value.text)})


def _is_none(value: Value) -> bool:
    return value.text == NONE and not value.is_quoted


def _regex(pattern: str) -> str:
    return "^" + ".*".join(re.escape(escape(part)) for part in pattern.split("*")) + "$"


def _numeric(key: Key, value: Value) -> Q:
    if _is_none(value):
        return with_score(None, _comparison) if key.name == "manual" else Q(IsNull(key.expression, True))
    if value.number is None:
        raise FilterError(
            f"“{value.text}” is not a number, and {key.name} is one",
            start=value.start,
            end=value.end,
            allowed=[key.kind.value],
        )
    if key.name == "manual":
        return with_score(value.number, _comparison)
    if key.kind is Kind.WHOLE:
        return _whole(key, value.number)
    return _comparison(key.expression, value.number, float if key.kind is Kind.NUMBER else Decimal)


def _comparison(expression: Any, number: Number, as_stored: Callable[[Decimal], Any]) -> Q:
    """Returns a comparison, which an unknown value fails."""
    limits = [
        (Exact, number.least if number.least == number.most else None),
        (GreaterThanOrEqual, number.least),
        (LessThanOrEqual, number.most),
        (GreaterThan, number.above),
        (LessThan, number.below),
    ]
    if limits[0][1] is not None:
        limits = limits[:1]
    tests = [Q(lookup(expression, as_stored(limit))) for lookup, limit in limits if limit is not None]
    return reduce(and_, tests)


def _whole(key: Key, number: Number) -> Q:
    """Returns an equivalent comparison of whole numbers within the database's range."""
    least = _round_up(number.least, key.first) if number.least is not None else None
    most = _round_down(number.most, key.first) if number.most is not None else None
    above = _round_down(number.above, key.first) if number.above is not None else None
    below = _round_up(number.below, key.first) if number.below is not None else None
    if least is not None and most is not None and least > most:
        return _NOTHING
    return _comparison(key.expression, Number(least, most, above, below), int)


def _round_up(limit: Decimal, first: int) -> Decimal:
    return _clamp(limit) if abs(limit) > _LARGEST else Decimal(math.ceil(limit) - first)


def _round_down(limit: Decimal, first: int) -> Decimal:
    return _clamp(limit) if abs(limit) > _LARGEST else Decimal(math.floor(limit) - first)


def _clamp(limit: Decimal) -> Decimal:
    return max(-_LARGEST, min(_LARGEST, limit))


def _in_json(key: Key, value: Value) -> Q:
    """Returns a comparison with a value of a JSON column: as numbers if both are numbers, else as text."""
    columns = SETTINGS if key.of_arm else (str(key.column),)
    texts = [json_text(column, key.name) for column in columns]
    if _is_none(value):
        return reduce(and_, (Q(IsNull(text, True)) for text in texts))
    found = []
    if not value.is_comparison:
        for text in texts:
            lookup = (
                Regex(text, _regex(value.pattern))
                if value.pattern is not None
                else Exact(text, escape(value.text))
            )
            found.append(Q(lookup))
    if value.number is not None:
        found += [_comparison(json_number(column, key.name), value.number, float) for column in columns]
    return reduce(or_, found)
