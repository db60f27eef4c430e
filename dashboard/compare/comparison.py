"""The data of a comparison, for its page, JSON and CSV, read once in two queries."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rlm_runs.analysis.aggregates import Unscored
from rlm_runs.analysis.aggregates.arm_settings import SettingRow, setting_rows
from rlm_runs.analysis.aggregates.comparison import MeasureRow, SideBySide, side_by_side
from rlm_runs.analysis.aggregates.frame import Frame, Outcome, load
from rlm_runs.analysis.aggregates.matrix import Matrix, Row
from rlm_runs.analysis.aggregates.measures import MEASURES
from rlm_runs.analysis.aggregates.pareto_front import FrontPlace, front
from rlm_runs.analysis.aggregates.unscored import select_counted
from rlm_runs.analysis.statistics import Interval, Paired
from rlm_runs.models.texts import unescape

from ..comparison_query import ComparisonQuery, NamedArm
from ..formatting import no_formula, visible

_ROWS = 50
"""The maximum and minimum number of examples on a page of the matrix, and the rollouts that bound it."""
_FEWEST = 8
_ROLLOUTS = 400


@dataclass(frozen=True, eq=False)
class ComparisonData:
    """The statistics of the chosen arms. All of the arms exist.

    `otherwise` are the rewards with unscored rollouts counted the other way: as zero, or excluded. `ways` are the
    mean rewards of each arm, with their numbers of rollouts, under each choice for unscored rollouts.
    """

    asked: ComparisonQuery
    arms: tuple[NamedArm, ...]
    numbers: SideBySide
    otherwise: SideBySide
    places: tuple[FrontPlace, ...]
    matrix: Matrix
    ways: tuple[dict[Unscored, tuple[float, int] | None], ...]

    @classmethod
    def of(cls, asked: ComparisonQuery, arms: tuple[NamedArm, ...]) -> ComparisonData:
        """Returns the data of a comparison. One query."""
        frame = load(asked.arms, measures=asked.measures)
        is_zero = asked.unscored is Unscored.ZERO
        return cls(
            asked=asked,
            arms=arms,
            numbers=side_by_side(frame, asked.arms, measures=asked.measures, unscored=asked.unscored),
            otherwise=side_by_side(
                _only(frame),
                asked.arms,
                measures=[MEASURES["reward"]],
                unscored=Unscored.EXCLUDE if is_zero else Unscored.ZERO,
            ),
            places=front(_only(frame, asked.price), asked.arms, price=asked.price, unscored=asked.unscored),
            matrix=Matrix.of(frame, asked.arms, unscored=asked.unscored),
            ways=_ways(_only(frame), asked.arms),
        )

    @property
    def settings(self) -> tuple[SettingRow, ...]:
        """All settings of the arms."""
        return setting_rows([arm.arm for arm in self.arms])

    @property
    def in_common(self) -> list[int]:
        """The number of examples that each arm has in common with the first."""
        ran = self.matrix.ran
        return [int((ran[0] & own).sum()) for own in ran]

    @property
    def page_size(self) -> int:
        """The number of examples on a page of the matrix."""
        repetitions = int(self.matrix.frame["repetition"].max(initial=0)) + 1
        return max(_FEWEST, min(_ROWS, _ROLLOUTS // (len(self.arms) * repetitions)))

    def page(self) -> tuple[list[Row], int]:
        """Returns the rows of the requested page, and the number of rows on all pages."""
        order = self.matrix.ordered(sort=self.asked.sort, show=self.asked.show)
        first = (self.asked.page - 1) * self.page_size
        return self.matrix.rows(order[first : first + self.page_size].tolist()), len(order)


def _ways(frame: Frame, arms: Sequence[int]) -> tuple[dict[Unscored, tuple[float, int] | None], ...]:
    counted = {way: select_counted(frame, way) for way in Unscored}
    return tuple({way: _mean_of(found, arm) for way, found in counted.items()} for arm in arms)


def _mean_of(frame: Frame, arm: int) -> tuple[float, int] | None:
    rewards = frame["reward"][frame["arm"] == arm]
    return (float(rewards.mean()), len(rewards)) if len(rewards) else None


def _only(frame: Frame, *measures: str) -> Frame:
    names = ("rollout", "arm", "example", "outcome", "reward", *measures)
    return Frame({name: frame[name] for name in names})


def as_json(found: ComparisonData) -> dict[str, Any]:
    """Returns the comparison as plain values, with the requested page of the matrix.

    Lists are in the order of `arms`; a setting that all arms share has one `value`. A rollout of the matrix is
    [id, repetition from 1, reward, outcome].
    """
    rows, total = found.page()
    return {
        "unscored": found.asked.unscored.value,
        "shared_examples": found.numbers.shared,
        "arms": [_arm(found, at) for at in range(len(found.arms))],
        "measures": [_measure(row) for row in found.numbers.rows],
        "settings": [_setting(row) for row in found.settings if row.differs or found.asked.every_setting],
        "matrix": {
            "sort": found.asked.sort,
            "show": found.asked.show.value,
            "page": found.asked.page,
            "examples": total,
            "rows": [_row(row) for row in rows],
        },
    }


def _setting(row: SettingRow) -> dict[str, Any]:
    values = [*map(unescape, row.values)]
    of_all = {"values": values} if row.differs else {"value": values[0]}
    return {"group": row.group, "name": unescape(row.name), **of_all}


def _arm(found: ComparisonData, at: int) -> dict[str, Any]:
    named, tally, place = found.arms[at], found.numbers.tallies[at], found.places[at]
    arm = named.arm
    return {
        "id": arm.pk,
        "letter": named.letter,
        "experiment": arm.experiment.slug,
        "environment": unescape(arm.environment),
        "scaffold": arm.scaffold,
        "model": unescape(arm.model),
        "rollouts": tally.total,
        "counted": tally.counted,
        "ended_early": arm.ended_early,
        "outcomes": {outcome.name.lower(): tally.of(outcome) for outcome in Outcome},
        "examples_in_common": found.in_common[at],
        "front": {"price": found.asked.price, "is_on": place.is_on, "share": place.share},
    }


def _measure(row: MeasureRow) -> dict[str, Any]:
    """Returns lists with an entry per arm. Repeating the keys for 24 arms and 30 measures would be most of the
    response.
    """
    return {
        "name": row.measure.name,
        "unit": row.measure.unit,
        "unknown": row.unknown,
        **_columns(row.means, "mean", "n", "low", "high", "method"),
        "against_first": {
            **_columns(row.against, "n", "better", "worse", "p", "test", "more_examples"),
            **_columns([pair and pair.difference for pair in row.against], "low", "high", "method"),
            "difference": [pair and pair.mean_difference for pair in row.against],
            "p_adjusted": row.adjusted,
            "effect": [pair and pair.effect and pair.effect.value for pair in row.against],
            "effect_name": [pair and pair.effect and pair.effect.name for pair in row.against],
        },
    }


def _columns(found: Sequence[Interval | Paired | None], *names: str) -> dict[str, list[Any]]:
    return {name: [None if each is None else getattr(each, name) for each in found] for name in names}


def _row(row: Row) -> dict[str, Any]:
    return {
        "example": row.example,
        "number": row.number,
        "disagreement": row.disagreement,
        "left_out": row.left_out,
        "means": [cell.mean for cell in row.cells],
        "rollouts": [
            [[each.rollout, each.number, each.reward, each.outcome.name.lower()] for each in cell.repetitions]
            for cell in row.cells
        ],
    }


def measures_csv(found: ComparisonData) -> Iterator[str]:
    """Yields the table of measures, a line per measure and arm."""
    yield _line(
        *("measure", "unit", "letter", "arm_id", "experiment", "arm", "n", "unknown", "mean", "low", "high"),
        *("common_examples", "better", "worse", "difference", "difference_low", "difference_high"),
        *("p", "p_adjusted", "test", "effect", "more_examples"),
    )
    for row in found.numbers.rows:
        for at, named in enumerate(found.arms):
            mean, pair = row.means[at], row.against[at]
            yield _line(
                *(row.measure.name, row.measure.unit, named.letter, named.arm.pk),
                *(named.arm.experiment.slug, _safe(named.title), mean.n if mean else 0, row.unknown[at]),
                *((mean.mean, mean.low, mean.high) if mean else (None, None, None)),
                *(_pair_values(pair, row.adjusted[at]) if pair else [None] * 11),
            )


def _pair_values(pair: Paired, adjusted: float | None) -> list[Any]:
    difference = pair.difference
    return [
        *(pair.n, pair.better, pair.worse, difference.mean, difference.low, difference.high),
        *(pair.p, adjusted, pair.test, pair.effect and pair.effect.value, pair.more_examples),
    ]


def matrix_csv(found: ComparisonData) -> Iterator[str]:
    """Yields all examples that pass the filter, in the order of the page, a line per rollout."""
    yield _line(
        *("example_id", "example_number", "disagreement", "letter", "arm_id", "experiment", "arm"),
        *("mean_counted", "repetition", "rollout_id", "outcome", "reward"),
    )
    order = found.matrix.ordered(sort=found.asked.sort, show=found.asked.show).tolist()
    for start in range(0, len(order), _ROWS):
        for row in found.matrix.rows(order[start : start + _ROWS]):
            for named, cell in zip(found.arms, row.cells, strict=True):
                for each in cell.repetitions:
                    yield _line(
                        *(row.example, row.number, row.disagreement, named.letter, named.arm.pk),
                        *(named.arm.experiment.slug, _safe(named.title), cell.mean, each.number),
                        *(each.rollout, each.outcome.name.lower(), each.reward),
                    )


def _line(*values: Any) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(values)
    return line.getvalue()


def _safe(name: str) -> str:
    """Returns a name with nothing hidden that no spreadsheet reads as a formula."""
    return no_formula(visible(unescape(name)))
