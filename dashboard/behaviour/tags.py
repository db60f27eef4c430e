"""Template tags of the behaviour page."""

from __future__ import annotations

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from ..templatetags.dashboard import NOTHING_TELLS, filter_query
from .tables import Number
from .tables import Row as BehaviourRow

register = template.Library()


@register.simple_tag
def behaviour_number(number: Number, rollouts: str) -> SafeString:
    """Returns a number of an arm as a link to the list of `rollouts`."""
    return _behaviour(number, rollouts)


@register.simple_tag
def behaviour_cells(row: BehaviourRow, rollouts: str) -> SafeString:
    """Returns the numbers of an arm on the behaviour page, each a link into the list of `rollouts`.

    Not a template, because a page has hundreds of them.
    """
    return format_html_join("", "<td class=num>{}</td>", ((_behaviour(each, rollouts),) for each in row.numbers))


def _behaviour(number: Number | None, rollouts: str) -> SafeString:
    if number is None:
        return NOTHING_TELLS
    if number.count == 0:
        return format_html('<span class="soft" title="{}">0</span>', number.title)
    more = format_html(' <span class="pm">{}</span>', number.more) if number.more else ""
    if number.query is None:
        return format_html('<span title="{}">{}{}</span>', number.title, number.text, more)
    return format_html(
        '<a{} href="{}?{}" title="{}">{}{}</a>',
        "" if number.count is None else format_html(' class="share-of" data-step="{}"', number.step),
        *(rollouts, filter_query(number.query), number.title, number.text, more),
    )
