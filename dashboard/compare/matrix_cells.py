"""The cells of the example × arm matrix as HTML: a number on the colour ramp, or a word for its absence.

Not a template, because a page has a thousand of them. They contain only numbers and our own words.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString, mark_safe

from rlm_runs.analysis.aggregates.frame import Outcome
from rlm_runs.analysis.aggregates.matrix import Cell, Repetition, Row

from ..formatting import score

_WORDS = {
    Outcome.TOO_LONG: ("too-long", "too long"),
    Outcome.UNJUDGED: ("too-long", "unjudged"),
    Outcome.FAILED: ("failed", "failed"),
    Outcome.CANCELLED: ("cancelled", "cancelled"),
    Outcome.UNFINISHED: ("queued", "to go"),
}
_NOT_RUN = mark_safe('<td class="num soft" title="This arm has no such example">–</td>')
_MOST_LINKS = 350
"""The number of cells and repetitions up to which a page links repetitions one by one; beyond it, a cell links to
a list.
"""


@dataclass(frozen=True)
class CellWriter:
    """A writer of the cells of one page. `arms` are ids, in the order of a row's cells."""

    arms: tuple[int, ...]
    rollouts: str
    base: str
    names_each: bool

    @classmethod
    def of(cls, rows: list[Row], arms: tuple[int, ...], *, has_lists: bool = True) -> CellWriter:
        """Returns a writer for these rows, with the URLs built once. Without lists, a cell links to its first
        rollout.
        """
        links = sum(1 + len(cell.repetitions) for row in rows for cell in row.cells)
        return cls(
            arms=arms,
            rollouts=reverse("rollouts") if has_lists else "",
            base=reverse("rollout", args=[0]).removesuffix("0/"),
            names_each=links <= _MOST_LINKS,
        )

    def cells(self, row: Row) -> SafeString:
        """Returns all cells of a row."""
        return format_html_join(
            "", "{}", ((self._cell(arm, cell),) for arm, cell in zip(self.arms, row.cells, strict=True))
        )

    def _cell(self, arm: int, cell: Cell) -> SafeString:
        if not cell.repetitions:
            return _NOT_RUN
        if len(cell.repetitions) == 1:
            return format_html('<td class="num">{}</td>', self._single(cell, cell.repetitions[0]))
        return format_html('<td class="num">{}</td>', self._several(arm, cell))

    def _single(self, cell: Cell, only: Repetition) -> SafeString:
        address = f"{self.base}{only.rollout}/"
        if only.reward is not None:
            return _reward(only.reward, address, is_out=cell.mean is None)
        word = _word(only.outcome, address)
        if cell.mean is None:
            return word
        return format_html("{} {}", _reward(cell.mean, address), word)

    def _several(self, arm: int, cell: Cell) -> SafeString:
        """Returns the mean with its count, the number of unscored repetitions, and each repetition if there is
        room.
        """
        given = [each.reward for each in cell.repetitions if each.reward is not None]
        query = urlencode({"q": f"arm:{arm} example:{cell.number}"})
        address = f"{self.rollouts}?{query}" if self.rollouts else f"{self.base}{cell.repetitions[0].rollout}/"
        mean = cell.mean if cell.mean is not None or not given else sum(given) / len(given)
        parts = [_reward(mean, address, is_out=cell.mean is None)] if mean is not None else []
        parts.append(format_html('<span class="sub">×{}</span>', len(cell.repetitions)))
        lacking = Counter(each.outcome for each in cell.repetitions if each.reward is None)
        parts += [
            format_html('<span class="status {}">{} {}</span>', _WORDS[outcome][0], number, _WORDS[outcome][1])
            for outcome, number in sorted(lacking.items())
        ]
        if self.names_each:
            parts.append(format_html('<span class="repetitions">{}</span>', self._each(cell)))
        return format_html_join(" ", "{}", ((part,) for part in parts))

    def _each(self, cell: Cell) -> SafeString:
        return format_html_join(
            " ",
            '<a href="{}{}/" title="r{}{}">{}</a>',
            (
                (
                    self.base,
                    each.rollout,
                    each.number,
                    "" if each.reward is not None else f" {_WORDS[each.outcome][1]}",
                    score(each.reward),
                )
                for each in cell.repetitions
            ),
        )


def _reward(value: float, address: str, *, is_out: bool = False) -> SafeString:
    step = max(0, min(10, round(value * 10)))
    if is_out:
        return format_html(
            '<a class="left-out" href="{}" title="does not count: another arm has no reward here">{}</a>',
            *(address, score(value)),
        )
    return format_html('<a class="reward" data-step="{}" href="{}">{}</a>', step, address, score(value))


def _word(outcome: Outcome, address: str) -> SafeString:
    kind, word = _WORDS[outcome]
    return format_html('<a class="status {}" href="{}">{}</a>', kind, address, word)
