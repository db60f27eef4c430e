"""Template tags of the replay."""

from __future__ import annotations

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from rlm_runs.analysis.failure_modes import FAILURE_MODES, FailureMode
from rlm_runs.models import Rollout

from .. import formatting
from ..templatetags.dashboard import query
from . import highlight

register = template.Library()


_MARKUP = 10
"""Characters that a mark adds, per piece: half of the pieces are plain."""


@register.filter
def python(source: str) -> SafeString:
    """Source with its tokens marked. Every character of it is escaped."""
    pieces = list(highlight.pieces(source))
    if len(pieces) * _MARKUP > 2 * len(source) + 2_000:
        pieces = [("", source)]  # Marks on every second character do not help, and would blow up the page.
    return format_html_join("", "{}", ((_piece(kind, formatting.visible(text)),) for kind, text in pieces))


def _piece(kind: str, text: str) -> str | SafeString:
    return format_html('<i class="{}">{}</i>', kind, text) if kind else text


@register.simple_tag(takes_context=True)
def turns_from(context: template.Context, number: int) -> str:
    """The URL of this conversation from a turn on. On a page with two conversations, each has its own parameter.

    A conversation that is one of several may have come as a fragment, so the URL names its page.
    """
    changes = {context.get("from_name") or "from": number, "version": "", "turns": ""}
    path = context["request"].path if context.get("prefix") else ""
    return f"{path}{query(context, **changes)}"


@register.filter
def failure_modes(rollout: Rollout) -> list[FailureMode]:
    """The failure modes of a rollout, each with its title and explanation."""
    return [FAILURE_MODES[name] for name in rollout.failure_modes if name in FAILURE_MODES]


@register.filter
def repairs(stored: str) -> str:
    """The names of a cell's repairs in words."""
    return ", ".join(name.replace("_", " ") for name in stored.split(","))
