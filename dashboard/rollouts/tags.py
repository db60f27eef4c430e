"""Template tags of lists of rollouts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from .. import formatting
from ..comparison_query import MOST_ARMS

register = template.Library()


@register.simple_tag
def compare_query(rows: Iterable[Mapping[str, Any]]) -> str:
    """Returns the query of a comparison of the arms in a list's rows; "" for a single arm, or too many."""
    arms = sorted({row["arm_id"] for row in rows})
    return "?" + urlencode({"arm": arms}, doseq=True) if 2 <= len(arms) <= MOST_ARMS else ""


@register.simple_tag
def list_query(kept: Mapping[str, str], q: str) -> str:
    """Returns the query string of a list with another filter."""
    parts = {**kept, **({"q": q} if q else {})}
    return "?" + urlencode(parts) if parts else ""


@register.simple_tag
def pointed(text: str, problem: Any) -> SafeString:
    """Returns a text in which the word with the problem is marked."""
    start, end = problem.start, max(problem.end, problem.start + 1)
    parts = (text[:start], text[start:end] or " ", text[end:])
    return format_html('{}<mark class="wrong">{}</mark>{}', *map(formatting.visible, parts))
