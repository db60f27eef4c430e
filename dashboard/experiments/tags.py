"""Template tags of the experiment page."""

from __future__ import annotations

from decimal import Decimal

from django import template
from django.utils.safestring import SafeString

from rlm_runs.analysis.statistics import Paired

from .. import formatting
from ..charts.forest import Estimate, Scale, outcomes_bar

register = template.Library()


@register.filter
def of_budget(value: Decimal, name: str) -> str:
    """Returns an amount of a budget, such as $12.30, 1.24M or 3.5 h."""
    if name == "dollars":
        return formatting.dollars(value)
    return formatting.count(float(value)) if name == "tokens" else f"{value:.2f} h"


@register.simple_tag
def forest(scale: Scale, estimate: Estimate | None) -> SafeString:
    """Returns the interval of one verdict on the common axis."""
    return scale.drawn(estimate)


@register.filter
def outcomes(paired: Paired | None) -> SafeString:
    """Returns wins, ties and losses as one bar."""
    return outcomes_bar(paired)
