"""Template tags of the Settings section."""

from __future__ import annotations

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from rlm_runs.analysis.aggregates.arm_settings import SettingRow

from ..templatetags.dashboard import stored

register = template.Library()

_LONGEST = 48


@register.simple_tag
def setting_value(row: SettingRow, at: int) -> SafeString:
    """Shows the cell of one arm, with the full text of a long value on hover."""
    value = stored(row.values[at])
    if len(value) <= _LONGEST:
        return format_html("<td>{}</td>", value)
    return format_html('<td title="{}">{}…</td>', value[:400], value[: _LONGEST - 1])
