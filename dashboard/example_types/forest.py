"""A forest plot whose rows are those of a table: one small SVG per row, on one scale.

Shapes have attributes and classes only, no inline styles, which the content security policy refuses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.html import format_html
from django.utils.safestring import SafeString

from rlm_runs.analysis.aggregates.example_types import TypeRow

WIDTH, HEIGHT = 200, 24
_MARGIN = 6
_STEPS = (0.1, 0.2, 0.25, 0.5, 1.0)


@dataclass(frozen=True)
class Scale:
    """The axis of all rows, from -`reach` to `reach`."""

    reach: float

    @classmethod
    def of(cls, rows: Sequence[TypeRow]) -> Scale:
        """The smallest reach that shows every interval."""
        ends = [abs(end) for row in rows if row.paired for end in _ends(row) if math.isfinite(end)]
        most = max(ends, default=1.0)
        return cls(next((step for step in _STEPS if step >= most - 1e-9), math.ceil(most)))

    def x(self, difference: float) -> float:
        """The place of a difference, within the drawing."""
        share = (difference + self.reach) / (2 * self.reach)
        return round(_MARGIN + (WIDTH - 2 * _MARGIN) * min(max(share, 0.0), 1.0), 1)

    def axis(self) -> SafeString:
        """The ends and the middle of the axis, for the head of the column."""
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

    def drawn(self, row: TypeRow) -> SafeString:
        """The interval of one row and its mean; filled where the corrected p is below 0.05."""
        if row.paired is None:
            return SafeString("")
        low, high = _ends(row)
        middle, zero = HEIGHT / 2, self.x(0.0)
        return format_html(
            '<svg class="forest{clear}" viewBox="0 0 {w} {h}" width="{w}" height="{h}" aria-hidden="true">'
            '<line class="zero" x1="{zero}" x2="{zero}" y1="0" y2="{h}"/>'
            '<line class="reach" x1="{low}" x2="{high}" y1="{mid}" y2="{mid}"/>'
            '<circle cx="{at}" cy="{mid}" r="4"/></svg>',
            clear=" is-clear" if row.p is not None and row.p < 0.05 else "",
            w=WIDTH,
            h=HEIGHT,
            zero=zero,
            mid=middle,
            low=self.x(low),
            high=self.x(high),
            at=self.x(row.paired.mean_difference),
        )


def _ends(row: TypeRow) -> tuple[float, float]:
    """The interval of a row; its mean alone where there is none."""
    assert row.paired is not None
    found = row.paired.difference
    if found.low is None or found.high is None:
        return found.mean, found.mean
    return found.low, found.high
