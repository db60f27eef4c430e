"""Formats the values of a row for display."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from rlm_runs.models.texts import unescape

from .. import formatting
from ..templatetags.dashboard import exactly

Show = Callable[[Any], str | SafeString]

NOT_YET = mark_safe('<span class="soft">–</span>')
"""The cell of a rollout that has not ended: no number, and no zero."""
NOT_KNOWN = mark_safe('<span class="unscored">not known</span>')
NOT_STREAMED = mark_safe('<span class="soft" title="Not streamed">–</span>')
_LONGEST = 300
"""The maximum length of one text in a table, in characters."""


def text(value: str, *, most: int = 32) -> str | SafeString:
    """Returns an escaped column as text. A long text is truncated and has a tooltip."""
    whole = plain(value)
    if len(whole) <= most:
        return whole or "–"
    return format_html('<span title="{}">{}…</span>', whole, whole[: most - 1])


def plain(value: str) -> str:
    """Returns the same for CSV and JSON: with nothing hidden, and with bounded length."""
    whole = formatting.visible(unescape(value))
    return whole if len(whole) <= _LONGEST else whole[: _LONGEST - 1] + "…"


def whole(value: int | None) -> str | SafeString:
    """Returns a count."""
    return NOT_KNOWN if value is None else f"{value:,}"


def tokens(value: int | None) -> str | SafeString:
    """Returns a count of tokens, with the exact number as a tooltip."""
    return NOT_KNOWN if value is None else exactly(value, "tokens")


def estimated(shown: str | SafeString, *, calls: int) -> str | SafeString:
    """Returns a cell whose number rests on our own token count of some calls."""
    if not calls:
        return shown
    told = f"Estimated: the server reported no tokens for {formatting.plural(calls, 'call')}"
    return format_html('<span class="estimate" title="{}">≈ {}</span>', told, shown)


def reported_dollars(value: Any) -> str | SafeString:
    """Returns an amount that a provider may report."""
    return formatting.DASH if value is None else formatting.dollars(value)


def dollars(value: Any) -> str | SafeString:
    """Returns an amount of dollars, or "unpriced"."""
    return mark_safe('<span class="unscored">unpriced</span>') if value is None else formatting.dollars(value)


def duration(value: float | None) -> str | SafeString:
    """Returns a duration, with the exact seconds as a tooltip."""
    if value is None:
        return NOT_KNOWN
    return format_html('<span title="{} s">{}</span>', f"{value:.3f}", formatting.duration(value))


def first_token(value: float | None) -> str | SafeString:
    """Returns the time to the first token."""
    return NOT_STREAMED if value is None else duration(value)


def rate(value: float | None) -> str | SafeString:
    """Returns tokens per second."""
    return NOT_STREAMED if value is None else formatting.rate(value)


def moment(value: datetime | None) -> str | SafeString:
    """Returns the time passed, with the exact time as a tooltip."""
    if value is None:
        return NOT_YET
    ago = formatting.ago((timezone.now() - value).total_seconds())
    return format_html(
        '<time datetime="{}" title="{} UTC">{}</time>', value.isoformat(), f"{value:%Y-%m-%d %H:%M:%S}", ago
    )


def anything(value: Any) -> str | SafeString:
    """Returns a value that an environment or an experiment defined."""
    if value is None:
        return mark_safe('<span class="soft">none</span>')
    if isinstance(value, bool):
        return "yes" if value else "no"
    return formatting.metric(value) if isinstance(value, int | float) else text(as_text(value))


def as_text(value: Any) -> str:
    """Returns such a value as text."""
    return value if isinstance(value, str) else str(value)


def rollout(pk: int) -> SafeString:
    """Returns a link to a rollout."""
    return format_html('<a href="{}">{}</a>', reverse("rollout", args=[pk]), pk)


def experiment(slug: str, name: str) -> SafeString:
    """Returns a link to an experiment."""
    return format_html('<a href="{}">{}</a>', reverse("experiment", args=[slug]), text(name))


def example(slug: str, position: int, repetition: int) -> SafeString:
    """Returns a link to the rollouts of all arms on an example."""
    address = f"{reverse('experiment-rollouts', args=[slug])}?q=example:{position + 1}"
    repeated = format_html('<span class="soft"> r{}</span>', repetition + 1) if repetition else ""
    return format_html('<a href="{}" title="This example in all arms">#{}</a>{}', address, position + 1, repeated)


def stop(reason: str, error: str, *, is_refused: bool) -> str | SafeString:
    """Returns a stop reason, with the start of the error if that adds information."""
    if not error or is_refused:
        return text(reason)
    whole = plain(error)
    return format_html('{} <span class="sub" title="{}">{}</span>', text(reason), whole, whole[:32])
