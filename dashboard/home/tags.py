"""Template tags of Home: stacked bars of the spend, and texts of differences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from .. import formatting
from ..charts.forest import Estimate, Scale
from ..tables import cells
from .spend import Series

register = template.Library()

_WIDTH, _HEIGHT = 600, 148
_LEFT, _TOP, _BOTTOM = 44, 8, 20


@register.simple_tag
def spend_bars(series: Sequence[Series], days: Sequence[date], label: str) -> SafeString:
    """Returns dollars by day as stacked bars, one colour per series. Each segment has a tooltip with its
    numbers.
    """
    most = max((float(sum(parts)) for parts in zip(*(each.days for each in series), strict=True)), default=0.0)
    top = _rounded_up(most)
    plot = _HEIGHT - _TOP - _BOTTOM
    step = (_WIDTH - _LEFT) / len(days)
    bars = []
    for at, day in enumerate(days):
        y = float(_TOP + plot)
        for number, each in enumerate(series):
            height = float(each.days[at]) / top * plot
            if height <= 0:
                continue
            y -= height
            told = f"{day:%d %b}: {cells.plain(each.name)} {formatting.dollars(each.days[at])}"
            bars.append(
                (number + 1, f"{_LEFT + at * step + 1:.1f}", f"{y:.1f}", f"{step - 2:.1f}", f"{height:.1f}", told)
            )
    return format_html(
        '<svg class="spend-bars" viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}{}</svg>',
        *(_WIDTH, _HEIGHT, label, _lines(top, plot), _dates(days, step)),
        format_html_join(
            "",
            '<rect class="series-{}" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>',
            bars,
        ),
    )


def _rounded_up(most: float) -> float:
    """Returns the end of the axis: 1, 2 or 5 times a power of ten."""
    if most <= 0:
        return 1.0
    unit: float = 10 ** math.floor(math.log10(most))
    return next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= most * (1 - 1e-9))


def _lines(top: float, plot: int) -> SafeString:
    places = [(share, _TOP + plot * (1 - share)) for share in (0.0, 0.5, 1.0)]
    return format_html_join(
        "",
        '<line x1="{}" x2="{}" y1="{}" y2="{}"/><text x="{}" y="{}" text-anchor="end">{}</text>',
        (
            (_LEFT, _WIDTH, y, y, _LEFT - 6, y + 4, formatting.dollars(Decimal(repr(round(top * share, 10)))))
            for share, y in places
        ),
    )


def _dates(days: Sequence[date], step: float) -> SafeString:
    """Returns the first day, the middle and today."""
    places = ((0, "start", "{:%d %b}"), (len(days) // 2, "middle", "{:%d %b}"), (len(days) - 1, "end", "today"))
    return format_html_join(
        "",
        '<text x="{}" y="{}" text-anchor="{}">{}</text>',
        (
            (f"{_LEFT + (at + (0, 0.5, 1)[place]) * step:.1f}", _HEIGHT - 4, anchor, words.format(days[at]))
            for place, (at, anchor, words) in enumerate(places)
        ),
    )


@register.simple_tag
def drawn(scale: Scale, estimate: Estimate) -> SafeString:
    """Returns a difference with its interval, on the common axis."""
    return scale.drawn(estimate)


@register.filter
def difference(estimate: Estimate) -> SafeString:
    """Returns a difference with its interval, such as +0.12 [0.00, +0.23]."""
    low, high = formatting.signed(estimate.low), formatting.signed(estimate.high)
    if estimate.low == estimate.high:
        return mark_safe(formatting.signed(estimate.mean))
    return format_html('{} <span class="pm">[{}, {}]</span>', formatting.signed(estimate.mean), low, high)


@register.filter
def probability(p: float) -> str:
    """Returns a p-value, such as p = 0.07 or p < 0.001."""
    return formatting.probability(p)


@register.filter
def share(value: float | None) -> str:
    """Returns a share, such as 24 %; a dash without a value."""
    return formatting.DASH if value is None else formatting.percent(value)
