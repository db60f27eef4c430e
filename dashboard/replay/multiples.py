"""Rollouts as small multiples: the shape of each on common axes, and what it came to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from rlm_runs.analysis import transcripts
from rlm_runs.analysis.replay import outlines
from rlm_runs.analysis.replay.outlines import Outline, OutlineTurn
from rlm_runs.analysis.transcripts import EMPTY, Excerpt
from rlm_runs.models import Rollout

MOST_ROLLOUTS = 24
_COLUMNS = 120
"""Columns of a strip. The turns of longer rollouts share them."""
_ANSWER_CHARS = 240
_LANE = 24


@dataclass(frozen=True)
class Scale:
    """The common axes: turns to the right, and the largest prompt and number of sub-calls upwards."""

    turns: int
    tokens: int
    sub_calls: int

    @classmethod
    def of(cls, found: Iterable[Outline]) -> Scale:
        """Returns the scale on which all of them fit."""
        turns = [turn for outline in found for turn in outline.turns]
        return cls(
            turns=max((len(outline.turns) for outline in found), default=0),
            tokens=max((turn.prompt_tokens or 0 for turn in turns), default=0),
            sub_calls=max((turn.sub_calls for turn in turns), default=0),
        )

    @property
    def columns(self) -> int:
        """The number of columns of a strip."""
        return max(1, min(self.turns, _COLUMNS))


@dataclass(frozen=True)
class Multiple:
    """One rollout of the page. Each path is of a drawing that is 10 units wide per column."""

    rollout: Rollout
    outline: Outline
    answer: Excerpt | None
    tokens: str
    sub_calls: str
    fine: str
    cut: str
    failed: str

    @classmethod
    def of(cls, rollout: Rollout, outline: Outline, answer: Excerpt | None, scale: Scale) -> Multiple:
        """Draws a rollout on the common scale."""
        columns = list(_columns(outline.turns, scale))
        return cls(
            rollout=rollout,
            outline=outline,
            answer=answer,
            tokens=_bars([_height(turn.prompt_tokens or 0, scale.tokens) for turn in columns], floor=_LANE),
            sub_calls=_bars([_log_height(turn.sub_calls, scale.sub_calls) for turn in columns], floor=3 * _LANE),
            # Height tells them apart as well as colour.
            fine=_blocks([turn.cells > 0 and not turn.errors and not turn.cut for turn in columns], height=8),
            cut=_blocks([turn.cut > 0 and not turn.errors for turn in columns], height=14),
            failed=_blocks([turn.errors > 0 for turn in columns], height=20),
        )


@require_safe
def multiples(request: HttpRequest) -> HttpResponse:
    """Returns the rollouts of the address, in its order."""
    rollouts = _rollouts(request)
    found = outlines.read(rollouts)
    scale = Scale.of(found.values())
    digests = {digest for row in rollouts for digest in (row.answer_id, row.example.answer_id) if digest}
    words = transcripts.excerpts(digests, chars=_ANSWER_CHARS)
    examples = {row.example_id for row in rollouts}
    context = {
        "section": "compare",
        "scale": scale,
        "width": 10 * scale.columns,
        "multiples": [Multiple.of(row, found[row.pk], words.get(row.answer_id or ""), scale) for row in rollouts],
        "is_same_example": len(examples) == 1,
        "gold": words.get(rollouts[0].example.answer_id, EMPTY),
        "first": rollouts[0],
    }
    return render(request, "dashboard/replay/multiples.html", context)


def _rollouts(request: HttpRequest) -> Sequence[Rollout]:
    named = request.GET.getlist("rollout")
    if not named or len(named) > MOST_ROLLOUTS or not all(name.isdecimal() and len(name) < 19 for name in named):
        raise BadRequest(f"rollout must name 1 to {MOST_ROLLOUTS} rollouts")
    numbers = list(dict.fromkeys(map(int, named)))
    found = {row.pk: row for row in Rollout.objects.filter(pk__in=numbers).for_list()}
    rows = [found[number] for number in numbers if number in found]
    if not rows:
        raise BadRequest("none of these rollouts exists")
    return rows


def _columns(turns: Sequence[OutlineTurn], scale: Scale) -> Iterable[OutlineTurn]:
    """Returns the columns of a strip: the turns, or the sums of turns that share a column."""
    if scale.turns <= _COLUMNS:
        yield from turns
        return
    for column in range(math.ceil(len(turns) * _COLUMNS / scale.turns)):
        first, end = (math.ceil(place * scale.turns / _COLUMNS) for place in (column, column + 1))
        shared = turns[first:end]
        yield OutlineTurn(
            prompt_tokens=max((turn.prompt_tokens or 0 for turn in shared), default=0),
            cells=sum(turn.cells for turn in shared),
            errors=sum(turn.errors for turn in shared),
            cut=sum(turn.cut for turn in shared),
            sub_calls=sum(turn.sub_calls for turn in shared),
        )


def _height(value: int, most: int) -> int:
    return max(1, round(value / most * (_LANE - 4))) if value and most else 0


def _log_height(value: int, most: int) -> int:
    """Returns a logarithmic height, because batches differ by orders of magnitude."""
    return max(2, round(math.log1p(value) / math.log1p(most) * (_LANE - 4))) if value and most else 0


def _bars(heights: Iterable[int], *, floor: int) -> str:
    """Returns the path of one bar per column, whose base is `floor`."""
    return "".join(f"M{10 * at} {floor}v-{height}h8v{height}z" for at, height in enumerate(heights) if height)


def _blocks(marked: Iterable[bool], *, height: int) -> str:
    """Returns the path of a block in the middle lane for each marked column."""
    return _bars([height if is_marked else 0 for is_marked in marked], floor=2 * _LANE)
