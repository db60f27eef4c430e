"""Any arms of any experiments side by side: the page, its JSON, its CSV, and the differences of their prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from rlm_runs.analysis.aggregates import Unscored
from rlm_runs.analysis.aggregates.arm_settings import SettingRow
from rlm_runs.analysis.aggregates.matrix import DISAGREEMENT, EXAMPLE, Row, Show
from rlm_runs.analysis.aggregates.measures import MEASURES
from rlm_runs.analysis.stored_prompts import OpeningPrompt, opening_prompts
from rlm_runs.analysis.transcripts import EMPTY

from .. import text_diff
from ..comparison_query import MOST_ARMS, PRICES, ComparisonQuery, arm_titles, find_arms
from ..formatting import plural
from ..permissions import share_of
from ..unscored import ArmMeans, Control, control_of
from . import arm_picker, comparison, plots, wording
from .comparison import ComparisonData
from .matrix_cells import CellWriter
from .measure_cells import MeasureCells
from .verdict_rows import verdicts

_SHOWN = {
    Show.ALL: ("All", "every example that any of the arms has"),
    Show.DIFFER: ("Disagreements", "not all counted rewards are the same"),
    Show.A: ("A wins", "more reward for A than for B"),
    Show.B: ("B wins", "more reward for B than for A"),
    Show.WRONG: ("All wrong", "no counted reward is above 0"),
    Show.UNSCORED: ("Some unscored", "an arm has no reward here"),
}

_NARROW = 2
"""Arms up to which the tables have room beside each other."""


@require_safe
def compare(request: HttpRequest) -> HttpResponse:
    """Shows which of these arms is better, on which examples, and how their settings differ."""
    found = find_arms(request.GET)
    is_picking = len(found.arms) < 2 or any(key == "pick" or key.startswith("find-") for key in request.GET)
    # A reader of a shared link sees only these arms, even if some of them are gone.
    picker = arm_picker.PickerForm(request.GET) if is_picking and share_of(request) is None else None
    context: dict[str, Any] = {
        "section": "compare",
        "asked": found.asked,
        "missing": found.missing,
        "dropped": found.dropped,
        "most": MOST_ARMS,
        "picker": picker,
        "groups": _groups(picker, found.asked) if picker else (),
        "pick": f"{found.asked.query()}&pick=1#pick",
    }
    if found.arms:
        context |= _context(ComparisonData.of(found.asked, found.arms), has_lists=share_of(request) is None)
    return render(request, "dashboard/compare/page.html", context)


@require_safe
def compare_json(request: HttpRequest) -> HttpResponse:
    """Returns the same numbers as JSON, with the requested page of the matrix."""
    return JsonResponse(comparison.as_json(_compared(request)))


@require_safe
def matrix_csv(request: HttpRequest) -> StreamingHttpResponse:
    """Returns the matrix as CSV, a line per rollout."""
    return _csv(request, comparison.matrix_csv, name="matrix")


@require_safe
def measures_csv(request: HttpRequest) -> StreamingHttpResponse:
    """Returns the table of measures as CSV, a line per measure and arm."""
    return _csv(request, comparison.measures_csv, name="measures")


@require_safe
def prompts(request: HttpRequest) -> HttpResponse:
    """Shows the differences of the stored prompts of A and B, as a fragment for htmx, otherwise as a page."""
    found = find_arms(request.GET)
    if len(found.arms) < 2:
        raise Http404("prompts are compared of two arms")
    stored = opening_prompts([arm.arm.pk for arm in found.arms[:2]])
    first, second = (stored.get(arm.arm.pk) for arm in found.arms[:2])
    context = {
        "section": "compare",
        "sides": [
            {"arm": arm, "opening": opening} for arm, opening in zip(found.arms, (first, second), strict=False)
        ],
        "is_same_example": first and second and first.example == second.example,
        "roles": _roles(first, second) if first and second else (),
        "back": reverse("compare") + found.asked.query(),
    }
    template = "_prompts" if request.htmx else "prompts"  # type: ignore[attr-defined]
    return render(request, f"dashboard/compare/{template}.html", context)


def _compared(request: HttpRequest) -> ComparisonData:
    found = find_arms(request.GET)
    if not found.arms:
        raise Http404("no arm is named")
    return ComparisonData.of(found.asked, found.arms)


def _csv(
    request: HttpRequest, lines: Callable[[ComparisonData], Iterator[str]], *, name: str
) -> StreamingHttpResponse:
    response = StreamingHttpResponse(lines(_compared(request)), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="compare-{name}.csv"'
    return response


def _context(found: ComparisonData, *, has_lists: bool) -> dict[str, Any]:
    """Returns the template context. Without lists of rollouts, figures and cells have no links to them."""
    asked, numbers = found.asked, found.numbers
    (rows, total), size = found.page(), found.page_size
    settings = found.settings
    pages = max(1, -(-total // size))
    return {
        "swapped": asked.query(arms=asked.swapped) if len(asked.arms) > 1 else "",
        "arms": found.arms,
        "numbers": numbers,
        "measure_writer": MeasureCells.of(numbers),
        "verdicts": verdicts(
            numbers,
            found.arms,
            wording.sentences(numbers, found.otherwise, found.arms, in_common=found.in_common),
        ),
        "ended_early": wording.ended_early(found.arms),
        "left_out": wording.left_out(numbers, found.arms),
        "how_counted": wording.how_counted(asked.unscored),
        "unscored_control": _unscored_control(found),
        "is_narrow": len(found.arms) <= _NARROW,
        "settings": _by_group(settings, every=asked.every_setting or len(found.arms) == 1),
        "settings_link": asked.query(every_setting=not asked.every_setting),
        "settings_same": sum(not row.differs for row in settings),
        "figures": _figures(found, rollouts=reverse("rollouts") if has_lists else ""),
        "front": _front(found),
        "prices": [(MEASURES[name].title, asked.query(price=name), name == asked.price) for name in PRICES],
        "price": MEASURES[asked.price],
        "shows": [
            (*words, int(found.matrix.shown(show).sum()), asked.query(show=show), show is asked.show)
            for show, words in _SHOWN.items()
            if len(found.arms) > 1 or show in (Show.ALL, Show.WRONG, Show.UNSCORED)
        ],
        "heads": _heads(found),
        "rows": [_MatrixRow.of(row, found) for row in rows],
        "writer": CellWriter.of(rows, asked.arms, has_lists=has_lists),
        "total": total,
        "first": (asked.page - 1) * size + 1,
        "last": (asked.page - 1) * size + len(rows),
        "earlier": asked.query(page=asked.page - 1) if 1 < asked.page <= pages else "",
        "later": asked.query(page=asked.page + 1) if asked.page < pages else "",
        "environments": len({arm.arm.environment for arm in found.arms}),
        "query": asked.query(page=asked.page),
        "measures_link": asked.query(every_measure=not asked.every_measure),
        "by_disagreement": asked.query(sort=DISAGREEMENT),
        "first_page": asked.query(),
    }


def _unscored_control(found: ComparisonData) -> Control:
    arms = [
        ArmMeans(named.arm.scaffold, named.name, named.arm.environment, means)
        for named, means in zip(found.arms, found.ways, strict=True)
    ]
    return control_of(
        arms,
        found.asked.unscored,
        unscored=sum(tally.ended_unscored for tally in found.numbers.tallies),
        addresses={way: found.asked.query(unscored=way) for way in Unscored},
    )


@dataclass(frozen=True)
class _MatrixRow:
    """An example of the matrix, with the URL of its two replays, "" without two."""

    row: Row
    environment: str
    pair: str

    @classmethod
    def of(cls, row: Row, found: ComparisonData) -> _MatrixRow:
        firsts = [cell.repetitions[0].rollout for cell in row.cells if cell.repetitions]
        rest = [pair for pair in found.asked.pairs if pair[0] != "page"]
        query = urlencode([("a", firsts[0]), ("b", firsts[1]), *rest]) if len(firsts) > 1 else ""
        return cls(
            row=row,
            environment=found.arms[row.owner].arm.environment,
            pair=f"{reverse('compare-rollouts')}?{query}" if query else "",
        )


@dataclass(frozen=True)
class _Head:
    """A column of the matrix by which it can be sorted."""

    label: str
    title: str
    query: str
    way: str


def _heads(found: ComparisonData) -> list[_Head]:
    asked = found.asked
    heads = [
        _Head("example", "by number", asked.query(sort=EXAMPLE), "ascending" if asked.sort == EXAMPLE else "")
    ]
    for arm in found.arms:
        falling, rising = f"-{arm.arm.pk}", str(arm.arm.pk)
        heads.append(
            _Head(
                label=arm.name,
                title=arm.title,
                query=asked.query(sort=rising if asked.sort == falling else falling),
                way={falling: "descending", rising: "ascending"}.get(asked.sort, ""),
            )
        )
    return heads


def _figures(found: ComparisonData, *, rollouts: str) -> dict[str, plots.Plot]:
    """Returns the figures by name; differences only if there are any. Marks lead to `rollouts`."""
    drawn = {
        "rewards": plots.rewards(found.numbers, found.arms),
        "front": plots.front(found.numbers, found.places, found.arms, price=found.asked.price),
    }
    if any(pair is not None for pair in found.numbers.reward.against):
        drawn["differences"] = plots.differences(found.numbers, found.arms)
    return {name: plot | {"rollouts": rollouts} for name, plot in drawn.items()}


def _by_group(rows: tuple[SettingRow, ...], *, every: bool) -> list[tuple[str, list[SettingRow]]]:
    shown = [row for row in rows if every or row.differs]
    return [(group, list(members)) for group, members in groupby(shown, key=lambda row: row.group)]


def _front(found: ComparisonData) -> list[dict[str, Any]]:
    """Returns the table of the front: arm, reward and price with intervals, and the share of resamples on it."""
    price = next(row for row in found.numbers.rows if row.measure.name == found.asked.price)
    arms = zip(found.arms, found.numbers.reward.means, price.means, price.unknown, found.places, strict=True)
    return [
        {
            "arm": arm,
            "reward": reward,
            "price": cost,
            "unknown": unknown,
            "is_on": place.is_on,
            "percent": None if place.share is None else round(100 * place.share),
        }
        for arm, reward, cost, unknown, place in arms
    ]


def _groups(picker: arm_picker.PickerForm, asked: ComparisonQuery) -> list[dict[str, Any]]:
    """Returns the arms that the picker found, with the URLs that add one arm or a group."""
    room = MOST_ARMS - len(asked.arms)
    return [
        {
            "experiment": group.experiment,
            "count": len(group.ids),
            "all": _adding(asked, group.ids, room=room),
            "environments": [
                {
                    "name": part.environment,
                    "count": len(part.ids),
                    "all": _adding(asked, part.ids, room=room),
                    "arms": [
                        (arm, title, "" if arm.model in title else arm.model, _adding(asked, [arm.pk], room=room))
                        for arm, title in zip(part.arms, arm_titles(part.arms), strict=True)
                    ],
                }
                for part in group.environments
            ],
        }
        for group in arm_picker.found(picker, without=asked.arms)
    ]


def _adding(asked: ComparisonQuery, ids: tuple[int, ...] | list[int], *, room: int) -> str:
    """Returns the URL with these arms added; "" if there is no room for all of them."""
    fresh = [pk for pk in ids if pk not in asked.arms]
    return asked.query(arms=asked.adding(fresh)) if 0 < len(fresh) <= room else ""


def _roles(first: OpeningPrompt, second: OpeningPrompt) -> list[dict[str, Any]]:
    """Returns the messages of each role in both prompts, with their diff."""
    found = []
    for role in dict.fromkeys([*first.by_role, *second.by_role]):
        one, other = first.by_role.get(role, EMPTY), second.by_role.get(role, EMPTY)
        is_same = one.text == other.text and one.chars == other.chars
        pieces = text_diff.diff(one.text, other.text)
        found.append(
            {
                "role": role,
                "first": one,
                "second": other,
                "is_same": is_same,
                "pieces": list(text_diff.shortened(pieces, in_words=_skipped)),
            }
        )
    return found


def _skipped(chars: int) -> str:
    return f" ⋯ {plural(chars, 'character')} the same ⋯ "
