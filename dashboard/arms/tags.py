"""Template tags of the Arms section."""

from __future__ import annotations

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from ..templatetags.dashboard import query

register = template.Library()


@register.simple_tag(takes_context=True)
def arm_header(context: template.Context, column: str, label: str) -> SafeString:
    """Shows the heading of a column, a link that sorts by it: descending first, then in the reverse order."""
    sort = str(context["sort"])
    falling = sort == f"-{column}"
    address = f"{context['address']}{query(context, sort=column if falling else f'-{column}')}"
    if sort.removeprefix("-") != column:
        return format_html('<th scope="col" class="num"><a href="{}">{}</a></th>', address, label)
    way, arrow = ("descending", "↓") if falling else ("ascending", "↑")
    return format_html(
        '<th scope="col" class="num" aria-sort="{}"><a href="{}">{} {}</a></th>', way, address, label, arrow
    )
