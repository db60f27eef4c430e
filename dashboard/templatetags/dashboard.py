"""What the templates need to show numbers, scaffolds and hostile text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from html import escape
from itertools import repeat
from typing import TYPE_CHECKING, Any

from django import template
from django.template.defaultfilters import stringfilter
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString, mark_safe

from rlm_runs.analysis.aggregates.comparison import MeasureRow
from rlm_runs.analysis.aggregates.matrix import Row
from rlm_runs.analysis.aggregates.measures import Measure
from rlm_runs.analysis.failure_modes import FAILURE_MODES, FailureMode
from rlm_runs.models import Rollout
from rlm_runs.models.experiments import Scaffold
from rlm_runs.models.texts import unescape

from .. import formatting
from ..behaviour.tables import Number
from ..behaviour.tables import Row as BehaviourRow
from ..charts.numbers import Series
from ..charts.style import OTHER_MARK, SCAFFOLD_MARKS, series_mark
from ..compare.matrix_cells import CellWriter
from ..compare.measure_cells import MeasureCells
from ..compare.measure_cells import in_unit as measured_in_unit
from ..compare.measure_cells import in_words as measured_in_words
from ..comparison_query import MOST_ARMS
from ..replay import highlight
from ..text_diff import Kind, Piece

if TYPE_CHECKING:
    from ..tables.columns import Column

register = template.Library()

register.filter("count", formatting.count)
register.filter("whole", formatting.whole)
register.filter("mean", formatting.mean)
register.filter("dollars", formatting.dollars)
register.filter("duration", formatting.duration)
register.filter("score", formatting.score)
register.filter("metric", formatting.metric)
register.filter("significant", formatting.significant)

_TOO_LONG = mark_safe('<span class="status too-long" title="The API refused the prompt">too long</span>')
_UNSCORED = mark_safe('<span class="unscored">unscored</span>')
_NONE_SCORED = mark_safe('<span class="unscored">none scored</span>')
_NOTHING_TELLS = mark_safe('<span class="soft" title="Nothing tells">–</span>')
_SIMULATED = mark_safe(
    '<span class="notice-word" title="Rule-based, seeded, and no language model: its numbers show that the '
    'machinery works, nothing else">simulated model</span> '
)
_NO_WALLS = mark_safe(
    '<span class="notice-word" title="process sandbox: no walls. The code ran in a plain process of the '
    "worker's machine, without isolation\">no walls</span>"
)
_LONGEST_SERIES = 60
_ALL_HEADS = 60_000
"""Characters that the addresses in the heads of one table may have together."""
_MARKUP = 10
"""Characters that a mark adds, per piece: half of the pieces are plain."""


@register.filter
@stringfilter
def visible(text: str) -> str:
    """A text as it was, with nothing hidden in it."""
    return formatting.visible(text)


@register.filter
@stringfilter
def stored(text: str) -> str:
    """A column that is escaped as texts are, with nothing hidden in it."""
    return formatting.visible(unescape(text))


@register.filter
def python(source: str) -> SafeString:
    """Source with its tokens marked. Every character of it is escaped."""
    pieces = list(highlight.pieces(source))
    if len(pieces) * _MARKUP > 2 * len(source) + 2_000:
        pieces = [("", source)]  # marks on every second character help nobody, and would blow the page up
    return format_html_join("", "{}", ((_piece(kind, formatting.visible(text)),) for kind, text in pieces))


def _piece(kind: str, text: str) -> str | SafeString:
    return format_html('<i class="{}">{}</i>', kind, text) if kind else text


@register.filter
def exactly(number: float | None, unit: str = "") -> SafeString:
    """A short number with the whole of it on hover."""
    return format_html('<span title="{} {}">{}</span>', formatting.exact(number), unit, formatting.count(number))


@register.filter
def mean_exactly(number: float | None, unit: str = "") -> SafeString:
    """A short mean with more of it on hover."""
    return format_html('<span title="{} {}">{}</span>', formatting.exact(number), unit, formatting.mean(number))


@register.simple_tag
def scaffold(key: str, name: str = "") -> SafeString:
    """A scaffold's mark in its colour, with its name."""
    label = formatting.visible(name or (Scaffold(key).label if key in Scaffold.values else key))
    shown = key if key in SCAFFOLD_MARKS else "other"
    mark = SCAFFOLD_MARKS.get(key, OTHER_MARK)
    return format_html(
        '<span class="scaffold scaffold-{}"><span class="mark" aria-hidden="true">{}</span> {}</span>',
        *(shown, mark, stored(label)),
    )


@register.simple_tag
def series(look: Series) -> SafeString:
    """What has one colour and mark in a figure, with its mark."""
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
    """A rollout's state in a word; a refused prompt is its own."""
    return status_mark(rollout.status, is_too_long=rollout.too_long)


def status_mark(state: str, *, is_too_long: bool) -> SafeString:
    """The same of a row."""
    return _TOO_LONG if is_too_long else format_html('<span class="status {}">{}</span>', state, state)


def notices(*, simulated: bool, no_walls: bool) -> SafeString:
    """What must be known of numbers before they are believed, in short."""
    return format_html("{}{}", _SIMULATED if simulated else "", _NO_WALLS if no_walls else "")


@register.simple_tag
def reward(value: float | None) -> SafeString:
    """A reward on its single-hue ramp; one that was not given is said in words."""
    if value is None:
        return _UNSCORED
    step = max(0, min(10, round(value * 10)))
    return format_html(
        '<span class="reward" data-step="{}" title="{}">{}</span>', step, value, formatting.score(value)
    )


@register.simple_tag
def interval(found: Any) -> SafeString:
    """0.14 ± 0.05, or 0.04 [0.01, 0.21] of a lopsided one; its bounds and its method on hover."""
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
    """The present query string with some parts changed; a part set to "" goes away. Starts with `?`."""
    parts = context["request"].GET.copy()
    for name, value in changes.items():
        if value in ("", None):
            parts.pop(name, None)
        else:
            parts[name] = value
    return "?" + urlencode(sorted(parts.lists()), doseq=True)


@register.simple_tag
def filter_query(*parts: Any) -> str:
    """The query string of a list of rollouts that shows those that the filter finds, given in pieces."""
    return urlencode({"q": "".join(map(str, parts))})


@register.simple_tag
def behaviour_cells(row: BehaviourRow, rollouts: str) -> SafeString:
    """The numbers of an arm on the behaviour page, each a link into the list of `rollouts`. Written here, since a
    page has hundreds.
    """
    return format_html_join("", "<td class=num>{}</td>", ((_behaviour(each, rollouts),) for each in row.numbers))


def _behaviour(number: Number | None, rollouts: str) -> SafeString:
    if number is None:
        return _NOTHING_TELLS
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


@register.simple_tag(takes_context=True)
def turns_from(context: template.Context, number: int) -> str:
    """The address of this conversation from a turn on; where a page has two, each has a name for that of its own.

    A conversation that is not the page's only one may have come as a fragment, and names its page.
    """
    changes = {context.get("from_name") or "from": number, "version": "", "turns": ""}
    path = context["request"].path if context.get("prefix") else ""
    return f"{path}{query(context, **changes)}"


@register.simple_tag
def pieces(found: Iterable[Piece]) -> SafeString:
    """A diff, what is gone and what is new each in its element, and every character escaped."""
    return format_html_join("", "{}", ((_diff_piece(piece),) for piece in found))


def _diff_piece(piece: Piece) -> str | SafeString:
    text = formatting.visible(piece.text)
    if piece.kind is Kind.SAME:
        return text
    tag = {Kind.GONE: "del", Kind.NEW: "ins", Kind.SKIPPED: "small"}[piece.kind]
    return format_html("<{}>{}</{}>", tag, text, tag)


@register.simple_tag
def matrix_cells(writer: CellWriter, row: Row) -> SafeString:
    """The cells of a row of the example × arm matrix."""
    return writer.cells(row)


@register.simple_tag
def measure_cells(writer: MeasureCells, row: MeasureRow) -> SafeString:
    """The cells of a row of the table of measures."""
    return writer.cells(row)


@register.filter
def in_unit(measure: Measure) -> str:
    """What a measure is called, with its unit."""
    return measured_in_unit(measure)


@register.simple_tag
def compare_query(rows: Iterable[Mapping[str, Any]]) -> str:
    """The query of a comparison of the arms of a list's rows; "" where that is one arm, or too many."""
    arms = sorted({row["arm_id"] for row in rows})
    return "?" + urlencode({"arm": arms}, doseq=True) if 2 <= len(arms) <= MOST_ARMS else ""


@register.simple_tag
def measured(number: float, measure: Measure) -> str:
    """A mean of a measure, in its unit."""
    return measured_in_words(number, measure)


@register.filter
def plural(number: int, word: str) -> str:
    """1 call, 38 calls."""
    return formatting.plural(number, word)


@register.filter
def palette(number: int) -> int:
    """The colour of the palette that a series has, from 1."""
    return number % 6 + 1


@register.filter
def ago(moment: datetime) -> str:
    """How long ago, in one unit."""
    return formatting.ago((timezone.now() - moment).total_seconds())


@register.filter
def grouped(number: int) -> str:
    """31,400."""
    return f"{number:,}"


@register.filter
def at_most(number: int, limit: int) -> int:
    """The smaller of two."""
    return min(number, limit)


@register.filter
def failure_modes(rollout: Rollout) -> list[FailureMode]:
    """How it went wrong, each with its title and explanation."""
    return [FAILURE_MODES[name] for name in rollout.failure_modes if name in FAILURE_MODES]


@register.filter
def in_process_sandbox(rollout: Rollout) -> bool:
    """Whether its code ran without walls."""
    return rollout.sandbox_backend == "process"


@register.simple_tag(takes_context=True)
def table_header(context: template.Context, column: Column, columns: Mapping[str, Any]) -> SafeString:
    """The head of a column; where it sorts, falling first, and the other way from then on.

    Where the address is so long that all heads together have no room on the page, they are no links.
    """
    kind = mark_safe(' class="num"') if column.is_number else ""
    sort = str(context["sort"])
    is_sorted, falling = sort.removeprefix("-") == column.key, sort.startswith("-")
    first = "-" if column.is_number else ""
    other = ("" if falling else "-") if is_sorted else first
    address = query(context, sort=f"{other}{column.key}", after="", before="")
    if column.key not in columns or len(address) * len(columns) > _ALL_HEADS:
        return format_html('<th scope="col"{} title="{}">{}</th>', kind, column.help, column.header)
    way = format_html(' aria-sort="{}"', "descending" if falling else "ascending") if is_sorted else ""
    arrow = ("\u00a0↓" if falling else "\u00a0↑") if is_sorted else ""
    return format_html(
        '<th scope="col"{}{} title="{}"><a href="{}">{}{}</a></th>',
        *(kind, way, column.help, address, column.header, arrow),
    )


@register.simple_tag(takes_context=True)
def arm_header(context: template.Context, column: str, label: str) -> SafeString:
    """The head of a column of the arms: falling first, and the other way from then on."""
    sort = str(context["sort"])
    falling = sort == f"-{column}"
    address = f"{context['address']}{query(context, sort=column if falling else f'-{column}')}"
    if sort.removeprefix("-") != column:
        return format_html('<th scope="col" class="num"><a href="{}">{}</a></th>', address, label)
    way, arrow = ("descending", "↓") if falling else ("ascending", "↑")
    return format_html(
        '<th scope="col" class="num" aria-sort="{}"><a href="{}">{} {}</a></th>', way, address, label, arrow
    )


@register.simple_tag
def table_cells(columns: Sequence[Column], row: Mapping[str, Any]) -> SafeString:
    """What a row has in its columns. A list has a thousand cells: one call for a row, not one for each."""
    return mark_safe("".join(map(_cell, columns, repeat(row))))


def _cell(column: Column, row: Mapping[str, Any]) -> str:
    shown = column.show(row)
    escaped = shown if isinstance(shown, SafeString) else escape(str(shown))
    return f'<td class="num">{escaped}</td>' if column.is_number else f"<td>{escaped}</td>"


@register.filter
def places_of(found: Mapping[int, Any], row: Mapping[str, Any]) -> Any:
    """Where searched words stand in a row's rollout."""
    return found.get(row["pk"], ()) if found else ()


@register.simple_tag
def pointed(text: str, problem: Any) -> SafeString:
    """A text with the word marked that a problem is about."""
    start, end = problem.start, max(problem.end, problem.start + 1)
    parts = (text[:start], text[start:end] or " ", text[end:])
    return format_html('{}<mark class="wrong">{}</mark>{}', *map(formatting.visible, parts))
