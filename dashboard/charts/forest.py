"""A forest plot whose rows are those of a table: one small SVG per row, on one scale.

Shapes have attributes and classes only. The Content-Security-Policy refuses inline styles.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from django.utils.html import format_html
from django.utils.safestring import SafeString

from rlm_runs.analysis.statistics import Paired

WIDTH, HEIGHT = 160, 24
_MARGIN = 6
_STEPS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
_CLEAR = 0.05
_BAR = 72
"""Width of a bar of wins, ties and losses."""


@dataclass(frozen=True)
class Estimate:
    """A mean difference with its interval. `is_clear` says that its corrected p-value is below 0.05."""

    mean: float
    low: float
    high: float
    is_clear: bool = False

    @classmethod
    def of(cls, paired: Paired | None, *, p: float | None) -> Estimate | None:
        """Returns the estimate of a comparison, only its mean without an interval; None without a comparison."""
        if paired is None:
            return None
        found = paired.difference
        low, high = (found.mean if end is None else end for end in (found.low, found.high))
        return cls(found.mean, low, high, is_clear=p is not None and p < _CLEAR)


@dataclass(frozen=True)
class Scale:
    """The axis of all rows, from -`reach` to `reach`."""

    reach: float

    @classmethod
    def of(cls, estimates: Iterable[Estimate | None]) -> Scale:
        """Returns the smallest reach that shows every interval."""
        ends = [abs(end) for each in estimates if each for end in (each.low, each.high) if math.isfinite(end)]
        most = max(ends, default=1.0)
        return cls(next((step for step in _STEPS if step >= most - 1e-9), math.ceil(most)))

    def x(self, difference: float) -> float:
        """Returns the horizontal place of a difference within the drawing."""
        share = (difference + self.reach) / (2 * self.reach)
        return round(_MARGIN + (WIDTH - 2 * _MARGIN) * min(max(share, 0.0), 1.0), 1)

    def axis(self) -> SafeString:
        """Returns the ends and the middle of the axis, for the head of the column."""
        end = f"{self.reach:g}"
        return format_html(
            '<svg class="forest" viewBox="0 0 {w} 16" width="{w}" height="16" aria-hidden="true">'
            '<text x="{left}" y="12">−{end}</text><text x="{mid}" y="12" text-anchor="middle">0</text>'
            '<text x="{right}" y="12" text-anchor="end">+{end}</text></svg>',
            w=WIDTH,
            left=0,
            mid=WIDTH / 2,
            right=WIDTH,
            end=end,
        )

    def drawn(self, estimate: Estimate | None) -> SafeString:
        """Returns the interval and the mean of one row. The mean is filled if the difference is clear."""
        if estimate is None:
            return SafeString("")
        return format_html(
            '<svg class="forest{clear}" viewBox="0 0 {w} {h}" width="{w}" height="{h}" aria-hidden="true">'
            '<line class="zero" x1="{zero}" x2="{zero}" y1="0" y2="{h}"/>'
            '<line class="reach" x1="{low}" x2="{high}" y1="{mid}" y2="{mid}"/>'
            '<circle cx="{at}" cy="{mid}" r="4"/></svg>',
            clear=" is-clear" if estimate.is_clear else "",
            w=WIDTH,
            h=HEIGHT,
            zero=self.x(0.0),
            mid=HEIGHT / 2,
            low=self.x(estimate.low),
            high=self.x(estimate.high),
            at=self.x(estimate.mean),
        )


def outcomes_bar(paired: Paired | None) -> SafeString:
    """Returns wins, ties and losses of a comparison as one bar."""
    if paired is None or not paired.n:
        return SafeString("")
    better, equal = (_BAR * part / paired.n for part in (paired.better, paired.equal))
    return format_html(
        '<svg class="outcomes" viewBox="0 0 {w} 8" width="{w}" height="8" aria-hidden="true">'
        '<rect class="better" width="{better}" height="8"/>'
        '<rect class="equal" x="{better}" width="{equal}" height="8"/>'
        '<rect class="worse" x="{both}" width="{worse}" height="8"/></svg>',
        w=_BAR,
        better=f"{better:.1f}",
        equal=f"{equal:.1f}",
        both=f"{better + equal:.1f}",
        worse=f"{_BAR - better - equal:.1f}",
    )
