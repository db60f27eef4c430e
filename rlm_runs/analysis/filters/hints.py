"""Completions within a query, and reasons for empty results, read from the store in bounded time."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from rlm_runs.models import Arm, Experiment, ManualScore, Rollout, RolloutTag
from rlm_runs.models.texts import unescape

from ..failure_modes import FAILURE_MODES
from .conditions import NONE, OUTCOMES
from .keys import KEYS, KINDS, SETTINGS, Key, Kind, key_named
from .language import Query, Term, Value, term, text
from .reviews import REVIEW_KEYS

_MOST = 12
_NEWEST = 2_000
"""The number of newest rollouts whose stop reasons are offered, because they have no index."""
_SOME = 200
"""The number of newest rollouts whose metrics and metadata are read."""
_CHUNK = re.compile(r'(?:"(?:[^"\\]|\\.)*(?:"|$)|\S)*')
_TYPED = re.compile(r"([A-Za-z_][\w.-]*):(.*)", re.DOTALL)


@dataclass(frozen=True)
class Option:
    """One completion, such as `env:oolong`, with its meaning."""

    text: str
    help: str = ""


@dataclass(frozen=True)
class Completions:
    """Replacements of the characters from `start` to `end`."""

    start: int
    end: int
    options: tuple[Option, ...]


def complete(source: str, at: int, *, experiment: Experiment | None = None) -> Completions:
    """Returns completions of the word at the cursor: keys, and after a colon the values in the store."""
    start, end = _chunk(source, at)
    typed = source[start:at]
    minus = typed.startswith("-")
    typed = typed[minus:]
    found = _TYPED.match(typed)
    options = _values(found[1], found[2], experiment) if found else _keys(typed, experiment)
    return Completions(start=start + minus, end=end, options=tuple(options)[:_MOST])


def hints(query: Query, *, experiment: Experiment | None = None) -> list[str]:
    """Returns sentences about values that the store lacks, with similar ones, for an empty list."""
    said: list[str] = []
    for asked in query.terms:
        key = key_named(asked.key) if asked.key and not asked.is_negated else None
        if key is None or key.is_numeric:
            continue
        for value in asked.values:
            if value.pattern is None and value.text != NONE and not value.is_comparison:
                said += _hint(asked, value, _known(key, experiment))
    return said


def _hint(asked: Term, value: Value, known: Sequence[str]) -> Iterator[str]:
    if value.text in known or not known:
        return
    lower = {one.lower(): one for one in reversed(known)}
    alike = difflib.get_close_matches(value.text.lower(), lower, n=1, cutoff=0.5)
    meant = f"; did you mean “{lower[alike[0]]}”?" if alike else f"; there is {', '.join(known[:6])}."
    yield f"No rollout has the {asked.key} “{value.text}”{meant}"


def known_values(name: str, *, experiment: Experiment | None = None) -> list[str]:
    """Returns the values of a key that occur in rollouts; [] for numeric and unknown keys."""
    key = key_named(name)
    return [] if key is None or key.is_numeric else _known(key, experiment)


def own_keys(experiment: Experiment) -> list[str]:
    """Returns the experiment's own keys as written in queries: `metric.…`, `set.…`, `meta.…`."""
    families = ("metric", "set", "meta")
    return [f"{family}.{name}" for family in families for name in _own_keys(family, experiment)]


def _chunk(source: str, at: int) -> tuple[int, int]:
    """Returns the start and end of the word around a position."""
    for found in _CHUNK.finditer(source):
        if found.start() <= at <= found.end():
            return found.start(), found.end()
    return at, at


def _keys(typed: str, experiment: Experiment | None) -> Iterator[Option]:
    family, dot, own = typed.partition(".")
    if dot and family in KINDS:
        for name in _own_keys(family, experiment):
            if own.strip('"').lower() in name.lower():
                yield Option(text([term(f"{family}.{name}", "")]).removesuffix('""'))
        return
    named = [(f"{key.name}:", key.help) for key in KEYS.values()]
    named += [(f"{family}.", key.help) for family, key in KINDS.items()]
    fitting = [pair for pair in named if typed.lower() in pair[0]]
    for written, about in sorted(fitting, key=lambda pair: not pair[0].startswith(typed.lower())):
        yield Option(written, about)


def _values(name: str, typed: str, experiment: Experiment | None) -> Iterator[Option]:
    key = key_named(name)
    if key is None:
        return
    before, comma, last = typed.rpartition(",")
    if key.is_numeric:
        if not last:
            yield from (Option(f"{name}:{before}{comma}{example}") for example in ("<1", ">=1", "0..1", NONE))
        return
    for known in _known(key, experiment):
        if last.strip('"').lower() in known.lower():
            yield Option(f"{name}:{before}{comma}{text([term('env', known)])[4:]}")


def _known(key: Key, experiment: Experiment | None) -> list[str]:
    """Returns values of rollouts: all of them if there are few, else those of the newest."""
    if key.kind is Kind.OUTCOME:
        return list(OUTCOMES)
    if key.name in REVIEW_KEYS:
        return _of_reviews(key.name) if experiment is None else []  # Readers of a shared link see no reviews.
    if key.name == "status":
        return list(Rollout.Status.values)
    if key.name == "experiment":
        if experiment is not None:  # Readers of a shared link see only this experiment.
            return [experiment.slug]
        newest = Experiment.objects.listed().order_by("-pk").values_list("slug", flat=True)
        return list(newest[:_NEWEST])
    if key.family:
        return _values_of(key, experiment)
    if key.kind is Kind.MODES:
        return list(FAILURE_MODES)
    if key.name == "stop":
        return sorted({unescape(reason) for reason in _newest(experiment, "stop_reason") if reason})
    values = _arms(experiment).values_list(str(key.column), flat=True).distinct()
    return sorted({unescape(value) for value in values})


def _of_reviews(name: str) -> list[str]:
    names: QuerySet[Any, str]
    if name == "tag":
        names = RolloutTag.objects.order_by("name").values_list("name", flat=True).distinct()[:_NEWEST]
    elif name == "reviewed_by":
        current = ManualScore.objects.current().order_by("author_name")
        names = current.values_list("author_name", flat=True).distinct()[:_NEWEST]
    else:
        return []
    return [unescape(found) for found in names]


def _arms(experiment: Experiment | None) -> QuerySet[Arm]:
    arms = Arm.objects.order_by()
    return arms.filter(experiment=experiment) if experiment else arms


def _newest(experiment: Experiment | None, column: str, *, most: int = _NEWEST) -> Iterable[Any]:
    """Returns a column of the newest rollouts.

    Within an experiment, these are the last in its order, which come from all arms and from an index.
    """
    if experiment is None:
        return Rollout.objects.order_by("-pk").values_list(column, flat=True)[:most]
    rollouts = Rollout.objects.filter(experiment=experiment).order_by("-example_position", "-pk")
    return rollouts.values_list(column, flat=True)[:most]


def _objects(family: str, experiment: Experiment | None) -> Iterator[dict[str, object]]:
    """Yields JSON objects that have keys of this family."""
    if family == "set":
        for row in _arms(experiment).order_by("-pk").values_list(*SETTINGS)[:_SOME]:
            yield from row
    else:
        column = str(KINDS[family].column)
        yield from _newest(experiment, column, most=_SOME)


def _own_keys(family: str, experiment: Experiment | None) -> list[str]:
    """Returns the printable keys. A name may contain anything, a query may not."""
    names = {unescape(name) for found in _objects(family, experiment) for name in found}
    return sorted(filter(str.isprintable, names))


def _values_of(key: Key, experiment: Experiment | None) -> list[str]:
    found = (row.get(key.name) for row in _objects(key.family, experiment))
    return sorted({_as_text(value) for value in found if value is not None})


def _as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else unescape(str(value))
