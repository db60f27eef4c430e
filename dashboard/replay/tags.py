"""Template tags of the replay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from rlm_runs.analysis.failure_modes import FAILURE_MODES, FailureMode
from rlm_runs.analysis.replay.spans import Span
from rlm_runs.models import Rollout

from .. import formatting
from ..templatetags.dashboard import query
from . import highlight
from .tabs import SECTIONS, TURNS_OF_PAGE

register = template.Library()


_MARKUP = 10
"""The number of characters that a mark adds, averaged over all pieces, of which half are plain."""


@register.filter
def python(source: str) -> SafeString:
    """Returns source with its tokens marked. Every character of it is escaped."""
    pieces = list(highlight.pieces(source))
    if len(pieces) * _MARKUP > 2 * len(source) + 2_000:
        pieces = [("", source)]  # Marks on every second character do not help, and would make the page too large.
    return format_html_join("", "{}", ((_piece(kind, formatting.visible(text)),) for kind, text in pieces))


def _piece(kind: str, text: str) -> str | SafeString:
    return format_html('<i class="{}">{}</i>', kind, text) if kind else text


@register.simple_tag(takes_context=True)
def turns_from(context: template.Context, number: int) -> str:
    """Returns the URL of this conversation from a turn on.

    On a page with two conversations, each has its own parameter. A conversation that is one of several may be a
    fragment, so the URL names its page.
    """
    changes = {context.get("from_name") or "from": number, "version": "", "turns": ""}
    path = context["request"].path if context.get("prefix") else ""
    return f"{path}{query(context, **changes)}"


@register.filter
def failure_modes(rollout: Rollout) -> list[FailureMode]:
    """Returns the failure modes of a rollout, each with its title and explanation."""
    return [FAILURE_MODES[name] for name in rollout.failure_modes if name in FAILURE_MODES]


@register.filter
def repairs(stored: str) -> str:
    """Returns the names of a cell's repairs, as text."""
    return ", ".join(name.replace("_", " ") for name in stored.split(","))


@register.simple_tag
def replay_sections() -> Sequence[tuple[str, str]]:
    """Returns the names of the replay's views, with the titles of their tabs."""
    return SECTIONS


@register.simple_tag
def moment(span: Span, attempt: int) -> str:
    """Returns the end of the URL of a span's moment in the transcript."""
    return turn_moment(span.turn, attempt) if span.turn else f"?attempt={attempt}"


@register.simple_tag
def turn_moment(number: int, attempt: int) -> str:
    """Returns the end of the URL of a turn in the transcript, which opens at a page of turns."""
    first = (number - 1) // TURNS_OF_PAGE * TURNS_OF_PAGE + 1
    return format_html("?attempt={}&from={}#turn-{}", attempt, first, number)


@register.simple_tag
def window_bar(parts: Sequence[Mapping[str, Any]], limit_at: float | None) -> SafeString:
    """Returns the parts of a prompt as rectangles of a drawing 1,000 wide."""
    places = list(accumulate((10 * part["width"] for part in parts), initial=0.0))
    bars = format_html_join(
        "",
        '<rect class="part-{}" x="{}" y="0" width="{}" height="12"></rect>',
        (
            (part["name"], f"{at:.1f}", f"{10 * part['width']:.1f}")
            for part, at in zip(parts, places, strict=False)
        ),
    )
    if limit_at is None:
        return bars
    limit = format_html(
        '<rect class="part-limit" x="{}" y="0" width="3" height="12"></rect>', f"{10 * limit_at - 3:.1f}"
    )
    return bars + limit


@register.filter
def part(found: Mapping[Any, Any], key: Any) -> Any:
    """Returns the value under a key; None without one."""
    return found.get(key)
