"""The cells of the table of measures as HTML: the mean with its interval, and below it the difference from A.

Not a template, because a page has hundreds of them. They contain only numbers and our own words.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from rlm_runs.analysis.aggregates.comparison import MeasureRow, SideBySide
from rlm_runs.analysis.aggregates.measures import Measure
from rlm_runs.analysis.statistics import Interval, Paired

from ..formatting import measured, probability, spread

_CLEAR = 0.05
_MOST_EXACT = 160
"""The number of cells up to which they have tooltips with exact values. More make the page too large; the CSV has
them.
"""
_NOTHING = mark_safe('<span class="unscored">not known</span>')


@dataclass(frozen=True)
class MeasureCells:
    """A writer of the cells of one table. With `is_brief`, cells have no tooltips with exact values, because there
    are too many.
    """

    is_brief: bool

    @classmethod
    def of(cls, found: SideBySide) -> MeasureCells:
        """Returns a writer for these rows and arms."""
        return cls(is_brief=len(found.rows) * len(found.arms) > _MOST_EXACT)

    def cells(self, row: MeasureRow) -> SafeString:
        """Returns all cells of a row."""
        arms = zip(row.means, row.unknown, row.against, row.adjusted, strict=True)
        return format_html_join(
            "",
            '<td class="num">{}{}{}</td>',
            (
                (
                    self._mean(row.measure, mean),
                    _unknown(unknown, mean),
                    self._difference(row.measure, pair, adjusted),
                )
                for mean, unknown, pair, adjusted in arms
            ),
        )

    def _mean(self, measure: Measure, mean: Interval | None) -> str | SafeString:
        if mean is None:
            return _NOTHING
        shown = in_words(mean.mean, measure)
        reach = spread(mean, lambda number: in_words(number, measure))
        if self.is_brief:
            return f"{shown} {reach}".rstrip()
        limits = "" if mean.low is None or mean.high is None else f", 95 % {mean.low:.4g} to {mean.high:.4g}"
        return format_html(
            '<span title="{}">{} <span class="pm">{}</span></span>',
            *(f"{mean.mean:.6g}{limits} ({mean.method}), n {mean.n}", shown, reach),
        )

    def _difference(self, measure: Measure, pair: Paired | None, adjusted: float | None) -> str | SafeString:
        if pair is None or adjusted is None:
            return ""
        difference = pair.difference.mean
        words = f"{_signed(difference, measure)} {probability(adjusted)}"
        verdict = _verdict(measure, difference, adjusted)
        if self.is_brief:
            return format_html('<small class="delta">{}{}</small>', words, verdict)
        low, high = pair.difference.low, pair.difference.high
        limits = "" if low is None or high is None else f", 95 % {low:+.4g} to {high:+.4g}"
        return format_html(
            '<small class="delta" title="{}">{}{}</small>',
            f"{difference:+.6g}{limits}; more on {pair.better} of {pair.n}, less on {pair.worse}; {pair.test}",
            *(words, verdict),
        )


def in_unit(measure: Measure) -> str:
    """Returns a measure's title with its unit, unless the title states it."""
    return measure.title if measure.unit == "tokens" else measure.axis


def in_words(number: float, measure: Measure) -> str:
    """Returns a mean of this measure as text."""
    return measured(number, measure.unit, is_score=measure.name == "reward").replace("-", "−")


def _unknown(number: int, mean: Interval | None) -> str | SafeString:
    return format_html(' <span class="sub">{} not known</span>', number) if number and mean else ""


def _signed(number: float, measure: Measure) -> str:
    sign = "+" if number > 0 else "−" if number < 0 else ""
    return sign + in_words(abs(number), measure)


def _verdict(measure: Measure, difference: float, adjusted: float) -> str | SafeString:
    if adjusted >= _CLEAR or measure.higher_is_better is None or difference == 0:
        return ""
    is_better = (difference > 0) == measure.higher_is_better
    return format_html(' <strong class="{0}">{0}</strong>', "better" if is_better else "worse")
