"""Template tags and filters of all pages: numbers, scaffolds and hostile text."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from django import template
from django.template.defaultfilters import filesizeformat, stringfilter
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString, mark_safe

from rlm_runs.engine.scaffolds import registry
from rlm_runs.models import Experiment, Rollout
from rlm_runs.models.texts import unescape

from .. import experiment_sections as tabs
from .. import formatting, icons, navigation, scaffold_stylesheet
from ..charts.numbers import Series
from ..charts.style import series_mark
from ..text_diff import Kind, Piece

register = template.Library()

register.filter("count", formatting.count)
register.filter("whole", formatting.whole)
register.filter("mean", formatting.mean)
register.filter("dollars", formatting.dollars)
register.filter("beyond", formatting.beyond)
register.filter("duration", formatting.duration)
register.filter("rate", formatting.rate)
register.filter("score", formatting.score)
register.filter("metric", formatting.metric)
register.filter("significant", formatting.significant)
register.simple_tag(icons.icon, name="icon")
register.simple_tag(navigation.entries, name="navigation")

_TOO_LONG = mark_safe('<span class="status too-long" title="The API refused the prompt">too long</span>')
_UNSCORED = mark_safe('<span class="unscored">unscored</span>')
_NONE_SCORED = mark_safe('<span class="unscored">none scored</span>')
NOTHING_TELLS = mark_safe('<span class="soft" title="Nothing tells">–</span>')
_SIMULATED = mark_safe(
    '<span class="notice-word" title="Rule-based, seeded, and no language model: its numbers show that the '
    'machinery works, nothing else">simulated model</span> '
)
_NO_WALLS = mark_safe(
    '<span class="notice-word" title="process sandbox: no walls. The code ran in a plain process of the '
    "worker's machine, without isolation\">no walls</span>"
)
_LONGEST_SERIES = 60


@register.filter
@stringfilter
def visible(text: str) -> str:
    """Returns a text with nothing hidden."""
    return formatting.visible(text)


@register.filter
def detail(value: Any) -> str:
    """Returns a detail of a log entry: a text, a number, or a dash if unknown."""
    if value is None:
        return formatting.DASH
    if isinstance(value, int) and not isinstance(value, bool):
        return formatting.whole(value)
    return formatting.visible(unescape(str(value)))


@register.filter
def amount(value: Any, name: str) -> str:
    """Returns a number of an action's preview. `name` gives its unit."""
    if value is None:
        return "unknown"
    if isinstance(value, Decimal):
        return formatting.dollars(value)
    return filesizeformat(value) if name.startswith("bytes") else formatting.whole(value)


@register.filter
@stringfilter
def stored(text: str) -> str:
    """Returns an escaped column as text, with nothing hidden."""
    return formatting.visible(unescape(text))


@register.simple_tag
def experiment_sections(experiment: Experiment, sees_all: bool) -> list[tabs.Section]:
    """Shows the tabs of an experiment's pages."""
    return list(tabs.sections(experiment.slug, sees_all=bool(sees_all)))


@register.filter
def exactly(number: float | None, unit: str = "") -> SafeString:
    """Returns a short number with the exact number as a tooltip."""
    return format_html('<span title="{} {}">{}</span>', formatting.exact(number), unit, formatting.count(number))


@register.filter
def mean_exactly(number: float | None, unit: str = "") -> SafeString:
    """Returns a short mean with a more precise one as a tooltip."""
    return format_html('<span title="{} {}">{}</span>', formatting.exact(number), unit, formatting.mean(number))


@register.simple_tag
def scaffold(key: str, name: str = "") -> SafeString:
    """Returns a scaffold's mark in its colour, with its name."""
    label = formatting.visible(name or registry.title(key))
    return format_html(
        '<span class="scaffold scaffold-{}"><span class="mark" aria-hidden="true">{}</span> {}</span>',
        *(registry.style_name(key), registry.mark(key).glyph, stored(label)),
    )


@register.simple_tag
def scaffold_styles() -> str:
    """Returns the URL of the scaffolds' stylesheet, which changes with its content."""
    return scaffold_stylesheet.address()


@register.simple_tag
def series(look: Series) -> SafeString:
    """Returns a series of a figure, with its mark and name."""
    name = formatting.visible(look.name)
    name = name if len(name) <= _LONGEST_SERIES else f"{name[: _LONGEST_SERIES - 1]}…"
    if look.scaffold:
        return scaffold(look.scaffold, name)
    return format_html(
        '<span class="mark series-{}" aria-hidden="true">{}</span> {}',
        *(palette(look.number), series_mark(look), name),
    )


@register.simple_tag
def status(rollout: Rollout) -> SafeString:
    """Returns a rollout's state as a word. A refused prompt has its own."""
    return status_mark(rollout.status, is_too_long=rollout.too_long)


def status_mark(state: str, *, is_too_long: bool) -> SafeString:
    """Returns the state of a row."""
    return _TOO_LONG if is_too_long else format_html('<span class="status {}">{}</span>', state, state)


def notices(*, simulated: bool, no_walls: bool) -> SafeString:
    """Returns short warnings beside numbers: a simulated model, a sandbox without walls."""
    return format_html("{}{}", _SIMULATED if simulated else "", _NO_WALLS if no_walls else "")


@register.simple_tag
def reward(value: float | None) -> SafeString:
    """Returns a reward on its single-hue ramp, or "unscored"."""
    if value is None:
        return _UNSCORED
    step = max(0, min(10, round(value * 10)))
    return format_html(
        '<span class="reward" data-step="{}" title="{}">{}</span>', step, value, formatting.score(value)
    )


@register.simple_tag
def interval(found: Any) -> SafeString:
    """Returns 0.14 ± 0.05, or 0.04 [0.01, 0.21] for a lopsided interval, with limits and method as a tooltip."""
    if found is None:
        return _NONE_SCORED
    spread = formatting.spread(found, "{:.2f}".format)
    if not spread:
        return format_html('<span title="{}">{}</span>', found.method, formatting.score(found.mean))
    title = f"{found.mean:.4g}, 95 % interval {found.low:.3g} to {found.high:.3g} ({found.method}), n {found.n}"
    return format_html(
        '<span title="{}">{} <span class="pm">{}</span></span>',
        *(title, f"{found.mean:.2f}", spread),
    )


@register.simple_tag(takes_context=True)
def query(context: template.Context, **changes: Any) -> str:
    """Returns the current query string with some parts changed; "" removes a part. Starts with `?`."""
    parts = context["request"].GET.copy()
    for name, value in changes.items():
        if value in ("", None):
            parts.pop(name, None)
        else:
            parts[name] = value
    return "?" + urlencode(sorted(parts.lists()), doseq=True)


@register.simple_tag
def filter_query(*parts: Any) -> str:
    """Returns the query string of a list of rollouts with a filter, given in parts."""
    return urlencode({"q": "".join(map(str, parts))})


@register.simple_tag
def pieces(found: Iterable[Piece]) -> SafeString:
    """Returns a diff with removed and added parts as elements, and every character escaped."""
    return format_html_join("", "{}", ((_diff_piece(piece),) for piece in found))


def _diff_piece(piece: Piece) -> str | SafeString:
    text = formatting.visible(piece.text)
    if piece.kind is Kind.SAME:
        return text
    tag = {Kind.GONE: "del", Kind.NEW: "ins", Kind.SKIPPED: "small"}[piece.kind]
    return format_html("<{}>{}</{}>", tag, text, tag)


@register.filter
def plural(number: int, word: str) -> str:
    """Returns a number with its noun, such as 1 call or 38 calls."""
    return formatting.plural(number, word)


@register.filter
def palette(number: int) -> int:
    """Returns the number of a series' palette colour, from 1."""
    return number % 6 + 1


@register.filter
def ago(moment: datetime) -> str:
    """Returns the time since a moment, in one unit."""
    return formatting.ago((timezone.now() - moment).total_seconds())


@register.filter
def grouped(number: int) -> str:
    """Returns a number with separators, such as 31,400."""
    return f"{number:,}"


@register.filter
def at_most(number: int, limit: int) -> int:
    """Returns the smaller of two numbers."""
    return min(number, limit)


@register.filter
def in_process_sandbox(rollout: Rollout) -> bool:
    """Returns whether the rollout's code ran without walls."""
    return rollout.sandbox_backend == "process"
