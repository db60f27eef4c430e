"""Template tags of the Models page."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from django import template
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from rlm_runs.analysis import filters
from rlm_runs.analysis.filters.language import term
from rlm_runs.execution.endpoints import Rate
from rlm_runs.execution.prices import KnownPrice
from rlm_runs.models import ModelProbe

from .. import formatting
from .overview import Calls, Period

register = template.Library()

_LOST_AFTER = timedelta(minutes=20)
"""Time after which an unfinished probe counts as lost."""
_MARKS = {"yes": "fine", "no": "failed", "partly": "warn"}


def rollouts_query(model: str) -> str:
    """Returns the query string of the list of a model's rollouts."""
    return urlencode({"q": filters.text([term("model", model)])})


def errors_query(model: str) -> str:
    """Returns the query string of the list of the model's rollouts that ended in an error of the model."""
    return urlencode({"q": filters.text([term("model", model), term("stop", "model_error", "bad_completion")])})


register.filter("rollouts_query", rollouts_query)
register.filter("errors_query", errors_query)


@register.filter
def limits(rate: Rate) -> SafeString | str:
    """Returns the limits in one line: `20 at once · 600 requests/min`."""
    told = (
        (rate.concurrency, "at once"),
        (rate.requests_per_minute, "requests/min"),
        (rate.tokens_per_minute, "tokens/min"),
    )
    pairs = ((f"{value:,g}", words) for value, words in told if value is not None)
    return format_html_join(" · ", '<span class="nowrap">{} {}</span>', pairs) or formatting.DASH


@register.filter
def per_million(rate: Decimal | None) -> str:
    """Returns a rate without its unit: 0.25, 10, 0.003625."""
    if rate is None:
        return formatting.DASH
    return f"{rate:.2f}" if rate == round(rate, 2) else f"{rate.normalize():f}"


@register.filter
def more_rates(known: KnownPrice) -> str:
    """Returns the rates without a column, as text; "" without any."""
    price = known.price
    told = [
        f"cache write {per_million(price.cache_write)}" if price.cache_write is not None else "",
        f"reasoning {per_million(price.reasoning)}" if price.reasoning is not None else "",
        f"{per_million(price.call)} per call" if price.call else "",
        *(
            f"above {tier.above:,} tokens: {per_million(tier.prompt)} in, {per_million(tier.completion)} out"
            for tier in price.tiers
        ),
    ]
    return "; ".join(filter(None, told))


@register.simple_tag
def error_rate(period: Period) -> str:
    """Returns the share of failed calls, such as 1.2 %."""
    rate = period.error_rate
    if rate is None:
        return formatting.DASH
    return "0 %" if rate == 0 else "< 0.1 %" if rate < 0.001 else f"{rate * 100:.1f} %"


@register.filter
def speed(calls: Calls) -> str:
    """Returns the tokens per second; a dash without any."""
    return formatting.DASH if calls.speed is None else f"{calls.speed:.0f}"


@register.simple_tag
def probe_state(probe: ModelProbe) -> str:
    """Returns the state of an unfinished probe; "" for a finished one."""
    if probe.finished_at is not None:
        return ""
    if timezone.now() - (probe.started_at or probe.requested_at) > _LOST_AFTER:
        return "cut off" if probe.started_at else "no worker took it"
    return "runs" if probe.started_at else "waits for a worker"


@register.filter
def mark(verdict: str) -> str:
    """Returns the CSS class of a finding's chip."""
    return _MARKS.get(verdict, "")


@register.simple_tag
def spend(calls: Calls) -> SafeString | str:
    """Returns the dollars of priced calls, and the number of calls without a price."""
    if not calls.calls:
        return formatting.DASH
    if calls.unpriced >= calls.calls:
        return format_html('<span class="unscored">{}</span>', "unpriced")
    told = formatting.dollars(calls.spend)
    if not calls.unpriced:
        return told
    return format_html('{} <span class="sub">+ {} unpriced</span>', told, formatting.count(calls.unpriced))
