"""The behaviour of the arms as tables: every number with its text and the filter for its rollouts.

The page, its CSV and its JSON counterpart show these tables. Pure functions without store or request.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlm_runs.analysis.aggregates.behaviour import PARTS, ArmBehaviour, Behaviour, Times, Use
from rlm_runs.analysis.failure_modes import FAILURE_MODES
from rlm_runs.analysis.statistics import Interval, wilson

from ..formatting import duration, exact, mean, percent, spread

NO_REASON = "none given"
_ENDED = "status:completed,failed"


@dataclass(frozen=True)
class Column:
    """A column of a table. `about` ends a sentence that explains the column."""

    name: str
    title: str
    about: str = ""
    is_share: bool = False


@dataclass(frozen=True)
class Number:
    """One number of an arm. For a share, `count` is the number of rollouts that have it. `query` is the filter for
    them, None if there is none. `text` and `more` are displayed; `title` has the exact facts.
    """

    interval: Interval
    text: str
    more: str
    title: str
    query: str | None
    count: int | None = None

    @property
    def step(self) -> int:
        """The shade of a share, in tenths from 0 to 10."""
        return round(10 * self.interval.mean)


@dataclass(frozen=True)
class Row:
    """One arm over `n` rollouts. `query` is the filter for them, None if there is none. The row has a number for
    each column, None if unknown.
    """

    arm: ArmBehaviour
    n: int
    query: str | None
    numbers: tuple[Number | None, ...]


@dataclass(frozen=True)
class Table:
    """A table by arm."""

    name: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


def tables(behaviour: Behaviour) -> tuple[Table, ...]:
    """Returns all tables of the page, in its order."""
    return (uses(behaviour), modes(behaviour), stops(behaviour), times(behaviour))


def uses(behaviour: Behaviour) -> Table:
    """Returns the use of the REPL by the arms that have one."""
    return Table(
        name="use",
        columns=tuple(Column(use.name, use.title, use.about, is_share=use.is_share) for use in behaviour.uses),
        rows=tuple(
            Row(
                arm,
                n=arm.counted,
                query=arm.query,
                numbers=tuple(_use(arm, *pair) for pair in zip(behaviour.uses, arm.uses, strict=True)),
            )
            for arm in behaviour.with_repl
        ),
    )


def _use(arm: ArmBehaviour, use: Use, found: Interval | None) -> Number | None:
    if found is None:
        return None
    said = f"{100 * found.mean:.1f} %" if use.is_share else exact(found.mean)
    title = f"{said}, {_limits(found, share=use.is_share)}, n {found.n:,}{f' {use.about}' if use.about else ''}"
    return Number(
        interval=found,
        text=percent(found.mean) if use.is_share else mean(found.mean),
        more=spread(found, _percent if use.is_share else mean),
        title=title,
        query=None if arm.query is None else f"{arm.query} {use.term}",
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f}"


def _limits(found: Interval, *, share: bool) -> str:
    if found.low is None or found.high is None:
        return found.method
    low, high = (f"{100 * limit:.1f} %" if share else exact(limit) for limit in (found.low, found.high))
    return f"95 % interval {low} to {high} ({found.method})"


def modes(behaviour: Behaviour) -> Table:
    """Returns the failure modes of the arms with their numbers of rollouts. A rollout may have several."""
    columns = tuple(
        Column(mode.name, mode.title, mode.explanation, is_share=True) for mode in FAILURE_MODES.values()
    )
    rows = tuple(_ended(arm, columns, arm.modes, "failure") for arm in behaviour.arms)
    return Table(name="failure modes", columns=columns, rows=rows)


def stops(behaviour: Behaviour) -> Table:
    """Returns the stop reasons of the rollouts. Each ended rollout has one."""
    columns = tuple(Column(name, name or NO_REASON, is_share=True) for name in behaviour.stop_reasons)
    rows = tuple(_ended(arm, columns, arm.stops, "stop") for arm in behaviour.arms)
    return Table(name="stop reasons", columns=columns, rows=rows)


def _ended(arm: ArmBehaviour, columns: Sequence[Column], counts: Mapping[str, int], key: str) -> Row:
    numbers = tuple(_counted(arm, counts, column.name, key) for column in columns)
    return Row(arm, n=arm.ended, query=_of(arm, _ENDED), numbers=numbers)


def _counted(arm: ArmBehaviour, counts: Mapping[str, int], name: str, key: str) -> Number | None:
    """Returns the number of an arm's ended rollouts with this property; None if none has ended."""
    if not arm.ended:
        return None
    count = counts.get(name, 0)
    found = wilson(successes=count, n=arm.ended)
    return Number(
        interval=found,
        text=f"{count:,}",
        more=percent(found.mean) if count else "",
        title=f"{count:,} of {arm.ended:,}, {_limits(found, share=True)}",
        query=_of(arm, _ENDED, f"{key}:{_quoted(name)}"),
        count=count,
    )


def times(behaviour: Behaviour) -> Table:
    """Returns mean seconds per rollout by part; the last column is the total."""
    columns = (
        *(Column(part.name, part.title, part.about) for part in PARTS),
        Column("total", "all", "per rollout"),
    )
    rows = []
    for arm in behaviour.arms:
        if arm.times is not None:
            # No filter finds the rollouts that have all parts.
            query = arm.query if arm.times.n == arm.counted else None
            rows.append(Row(arm, n=arm.times.n, query=query, numbers=tuple(_time_numbers(arm.times, query))))
    return Table(name="time", columns=columns, rows=tuple(rows))


def _time_numbers(found: Times, query: str | None) -> Iterator[Number]:
    for interval in found.parts:
        seconds, share = interval.mean, interval.mean / found.total.mean if found.total.mean else 0.0
        limits = _limits(interval, share=False)
        yield Number(
            interval=interval,
            text=duration(seconds) if seconds else "0 s",
            more=percent(share) if seconds else "",
            title=f"{seconds:.2f} s, {percent(share)} of the time, {limits}, n {found.n:,}",
            query=query,
        )
    yield Number(
        interval=found.total,
        text=duration(found.total.mean),
        more=spread(found.total, duration),
        title=f"{found.total.mean:.2f} s, {_limits(found.total, share=False)}, n {found.n:,}",
        query=query,
    )


def _of(arm: ArmBehaviour, *terms: str) -> str:
    return " ".join([f"arm:{arm.arm.pk}", *terms])


def _quoted(value: str) -> str:
    """Returns a value in the form of the filter language."""
    if re.fullmatch(r"[\w.-]+", value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


FIELDS = (
    *("table", "arm", "environment", "scaffold", "model", "settings", "column", "value", "low", "high", "n"),
    *("count", "rollouts"),
)
"""The fields of `records`, including the query for the rollouts of each number."""


def records(found: Sequence[Table]) -> Iterator[dict[str, Any]]:
    """Yields every number of the tables as a record for CSV and JSON: shares from 0 to 1, times in seconds."""
    for table in found:
        for row in table.rows:
            arm = row.arm.arm
            for column, number in zip(table.columns, row.numbers, strict=True):
                if number is None:
                    continue
                values = (
                    *(table.name, arm.pk, arm.environment, arm.scaffold, arm.model),
                    *(f"{row.arm.group} · {row.arm.series}", column.name),
                    *(number.interval.mean, number.interval.low, number.interval.high, number.interval.n),
                    *(number.count, number.query),
                )
                yield dict(zip(FIELDS, values, strict=True))
