"""The cells of the table of measures as HTML: the mean with its interval, and under it the difference to A.

Written here and not in a template since a page has hundreds of them. Only numbers and our own words go in.
"""

from __future__ import annotations

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from rlm_runs.aggregates.comparison import MeasureRow
from rlm_runs.aggregates.measures import Measure
from rlm_runs.statistics import Interval, Paired

from .formatting import measured, probability

_CLEAR = 0.05
_NOTHING = mark_safe('<span class="unscored">not known</span>')


def cells(row: MeasureRow) -> SafeString:
    """All cells of a row."""
    arms = zip(row.means, row.unknown, row.against, row.adjusted, strict=True)
    return format_html_join(
        "",
        '<td class="num">{}{}{}</td>',
        (
            (_mean(row.measure, mean), _unknown(unknown, mean), _difference(row.measure, pair, adjusted))
            for mean, unknown, pair, adjusted in arms
        ),
    )


def in_words(number: float, measure: Measure) -> str:
    """A mean of this measure."""
    return measured(number, measure.unit, is_score=measure.name == "reward").replace("-", "−")


def _mean(measure: Measure, mean: Interval | None) -> SafeString:
    if mean is None:
        return _NOTHING
    shown = in_words(mean.mean, measure)
    if mean.half_width is None:
        return format_html('<span title="n {}; {}">{}</span>', mean.n, mean.method, shown)
    return format_html(
        '<span title="{}, 95 % interval {} to {} ({}), n {}">{} <span class="pm">± {}</span></span>',
        *(f"{mean.mean:.6g}", f"{mean.low:.4g}", f"{mean.high:.4g}", mean.method, mean.n),
        *(shown, in_words(mean.half_width, measure)),
    )


def _unknown(number: int, mean: Interval | None) -> str | SafeString:
    return format_html(' <span class="sub">{} not known</span>', number) if number and mean else ""


def _difference(measure: Measure, pair: Paired | None, adjusted: float | None) -> str | SafeString:
    if pair is None or adjusted is None:
        return ""
    difference = pair.difference
    limits = ""
    if difference.low is not None and difference.high is not None:
        limits = f"95 % interval {difference.low:+.4g} to {difference.high:+.4g} ({difference.method}); "
    title = (
        f"{difference.mean:+.6g} on {pair.n} common examples; {limits}"
        f"more on {pair.better}, less on {pair.worse}; {probability(pair.p)}, {pair.test}; "
        f"corrected {adjusted:.4f}"
    )
    return format_html(
        '<span class="sub" title="{}">{} {}{}</span>',
        *(title, _signed(difference.mean, measure), probability(adjusted)),
        _verdict(measure, difference.mean, adjusted),
    )


def _signed(number: float, measure: Measure) -> str:
    sign = "+" if number > 0 else "−" if number < 0 else "±"
    return sign + in_words(abs(number), measure)


def _verdict(measure: Measure, difference: float, adjusted: float) -> str | SafeString:
    if adjusted >= _CLEAR or measure.higher_is_better is None or difference == 0:
        return ""
    is_better = (difference > 0) == measure.higher_is_better
    return format_html(' <strong class="{0}">{0}</strong>', "better" if is_better else "worse")
