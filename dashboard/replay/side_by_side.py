"""Two rollouts side by side: their outcomes, their answers, and their conversations, one column each.

The URL carries the matrix from which the page was opened, so that the next example is the next one there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from rlm_runs.analysis import transcripts
from rlm_runs.analysis.aggregates.frame import load
from rlm_runs.analysis.aggregates.matrix import Cell, Matrix
from rlm_runs.analysis.aggregates.measures import MEASURES
from rlm_runs.analysis.transcripts import EMPTY, Conversation, Excerpt, Window
from rlm_runs.models import Rollout
from rlm_runs.models.texts import unescape

from ..addresses import address_of
from ..comparison_query import ComparisonQuery, NamedArm, find_arms, with_letters
from ..formatting import count, dollars, duration, exact, visible, weight
from ..query_params import rollout_or_404, whole_number
from ..tables import exports
from ..tables.rollouts import ROLLOUTS, rows
from ..text_diff import Kind, Piece, diff
from .wording import agreement

_TURNS = 20
_WEIGHT = 50_000
"""The number of bytes of text in each column. A page has two, and their answers."""
_OUTCOME_CHARS = 3_000


@dataclass(frozen=True)
class _Side:
    """One of the two columns. `prefix` precedes its ids, `from_name` is its turn's name in the URL."""

    letter: str
    arm: NamedArm
    rollout: Rollout
    conversation: Conversation | None
    answer: Excerpt | None
    agreement: str
    to_gold: tuple[Piece, ...]
    others: tuple[tuple[str, str, bool], ...]

    @property
    def prefix(self) -> str:
        return f"{self.letter}-"

    @property
    def from_name(self) -> str:
        return f"from_{self.letter}"

    @property
    def output_limit(self) -> int:
        return int(self.rollout.arm.scaffold_settings.get("output_limit", 8192))

    @property
    def is_live(self) -> bool:
        return self.rollout.status in (Rollout.Status.QUEUED, Rollout.Status.RUNNING)


@require_safe
def pair(request: HttpRequest) -> HttpResponse:
    """Shows the rollouts `a` and `b` side by side."""
    rollouts = _pair(request)
    walk = _Walk.of(request, rollouts)
    words = transcripts.excerpts(_digests(rollouts), chars=_OUTCOME_CHARS)
    gold = words.get(rollouts[0].example.answer_id, EMPTY)
    sides = [
        _side(request, letter, rollout, words=words, walk=walk, other=rollouts[1 - place])
        for place, (letter, rollout) in enumerate(zip("ab", rollouts, strict=True))
    ]
    context = {
        "section": "compare",
        "sides": sides,
        "facts": list(_facts(*rollouts)),
        "gold": gold,
        "prompt": words.get(rollouts[0].example.prompt_id, EMPTY),
        "is_same_example": rollouts[0].example_id == rollouts[1].example_id,
        "previous": walk.beside(rollouts, way=-1),
        "following": walk.beside(rollouts, way=1),
        "place": walk.place(rollouts),
        "total": len(walk.order),
        "swapped": walk.address(rollouts[1].pk, rollouts[0].pk),
        "json": replace(walk, view="compare-rollouts-json").address(rollouts[0].pk, rollouts[1].pk),
        "back": (compare := address_of("compare")) and compare + walk.asked.query(),
        "rollout": rollouts[0],
    }
    return render(request, "dashboard/replay/side_by_side.html", context)


@require_safe
def pair_json(request: HttpRequest) -> JsonResponse:
    """Returns the same as JSON, without the conversations, whose URL is each rollout's `trace`."""
    rollouts = _pair(request)
    walk = _Walk.of(request, rollouts, view="compare-rollouts-json")
    words = transcripts.excerpts(_digests(rollouts), chars=_OUTCOME_CHARS)
    columns = tuple(ROLLOUTS.columns.values())
    found = {row["pk"]: row for row in rows(Rollout.objects.filter(pk__in=[r.pk for r in rollouts]), columns)}
    example = rollouts[0].example
    return JsonResponse(
        {
            **{
                letter: {
                    "arm": {"id": rollout.arm_id, "title": visible(unescape(walk.arms[rollout.arm_id].title))},
                    "row": exports.json_row(columns, found[rollout.pk]),
                    "answer": _excerpt(words.get(rollout.answer_id or "")),
                    "trace": address_of("api-rollout", rollout.pk),
                }
                for letter, rollout in zip("ab", rollouts, strict=True)
            },
            "is_same_example": rollouts[0].example_id == rollouts[1].example_id,
            "prompt": _excerpt(words.get(example.prompt_id, EMPTY)),
            "gold": _excerpt(words.get(example.answer_id, EMPTY)),
            "place": walk.place(rollouts) or None,
            "examples": len(walk.order),
            "previous": walk.beside(rollouts, way=-1) or None,
            "next": walk.beside(rollouts, way=1) or None,
        }
    )


def _excerpt(found: Excerpt | None) -> dict[str, Any] | None:
    return None if found is None else {"text": found.text, "chars": found.chars}


def _pair(request: HttpRequest) -> list[Rollout]:
    rollouts = [_rollout(request, letter) for letter in "ab"]
    if rollouts[0].pk == rollouts[1].pk:
        raise BadRequest("a rollout cannot be compared with itself")
    return rollouts


def _rollout(request: HttpRequest, name: str) -> Rollout:
    pk = whole_number(request, name, default=0, most=2**63 - 1)
    if not pk:
        raise BadRequest(f"{name} must name a rollout")
    return rollout_or_404(pk)


@dataclass(frozen=True)
class _Walk:
    """The walk along the matrix from example to example. `order` are the examples that both arms have; `view` is
    the view of its URLs.
    """

    asked: ComparisonQuery
    arms: dict[int, NamedArm]
    matrix: Matrix
    order: list[int]
    view: str

    @classmethod
    def of(cls, request: HttpRequest, rollouts: Sequence[Rollout], *, view: str = "compare-rollouts") -> _Walk:
        """Returns the arms in the URL, or those of the two rollouts. Two queries."""
        found = find_arms(request.GET)
        own = {rollout.arm_id: rollout.arm for rollout in rollouts}
        by_id = {arm.arm.pk: arm.arm for arm in found.arms} | own
        asked = replace(found.asked, arms=tuple(by_id))
        matrix = Matrix.of(load(asked.arms, measures=[MEASURES["reward"]]), asked.arms, unscored=asked.unscored)
        have = matrix.ran[[asked.arms.index(pk) for pk in own]].all(axis=0)
        both = set(matrix.examples[have].tolist())
        order = [pk for pk in matrix.ordered(sort=asked.sort, show=asked.show).tolist() if pk in both]
        arms = {arm.arm.pk: arm for arm in with_letters([*by_id.values()])}
        return cls(asked=asked, arms=arms, matrix=matrix, order=order, view=view)

    def place(self, rollouts: Sequence[Rollout]) -> int:
        """Returns the number of the current example in the order, from 1; 0 if it is not in it."""
        first, second = (rollout.example_id for rollout in rollouts)
        return self.order.index(first) + 1 if first == second and first in self.order else 0

    def beside(self, rollouts: Sequence[Rollout], *, way: int) -> str:
        """Returns the URL of the same arms on the next or the previous example; "" at the end."""
        at = self.place(rollouts) - 1 + way if self.place(rollouts) else (0 if way > 0 else -1)
        if not 0 <= at < len(self.order):
            return ""
        cells = self.cells(self.order[at])
        return self.address(*(_same_repetition(cells[each.arm_id], each.repetition) for each in rollouts))

    def cells(self, example: int) -> dict[int, Cell]:
        """Returns a map of arm → its cell of an example."""
        return dict(zip(self.asked.arms, self.matrix.rows([example])[0].cells, strict=True))

    def address(self, a: int, b: int) -> str:
        """Returns the URL of two rollouts in the same matrix."""
        pairs = [("a", str(a)), ("b", str(b)), *(pair for pair in self.asked.pairs if pair[0] != "page")]
        return f"{reverse(self.view)}?{urlencode(pairs)}"


def _same_repetition(cell: Cell, repetition: int) -> int:
    """Returns the rollout of this repetition, else the first one."""
    by_number = {each.number - 1: each.rollout for each in cell.repetitions}
    return by_number.get(repetition, cell.repetitions[0].rollout)


def _digests(rollouts: Sequence[Rollout]) -> list[str]:
    examples = [rollout.example for rollout in rollouts]
    found = [*(rollout.answer_id for rollout in rollouts)]
    found += [digest for example in examples for digest in (example.answer_id, example.prompt_id)]
    return [digest for digest in found if digest]


def _side(
    request: HttpRequest, letter: str, rollout: Rollout, *, words: dict[str, Excerpt], walk: _Walk, other: Rollout
) -> _Side:
    root = transcripts.root_of(rollout, attempt=rollout.attempt)
    first = whole_number(request, f"from_{letter}", default=1)
    window = Window(first=first, limit=_TURNS, budget=_WEIGHT, weigh=weight)
    gold = words.get(rollout.example.answer_id, EMPTY)
    answer = words.get(rollout.answer_id or "")
    return _Side(
        letter=letter,
        arm=walk.arms[rollout.arm_id],
        rollout=rollout,
        conversation=transcripts.read(root, window) if root else None,
        answer=answer,
        agreement=agreement(answer, gold) if answer and answer.chars else "",
        to_gold=_to_gold(answer, gold) if answer and answer.chars else (),
        others=tuple(_others(letter, rollout, walk=walk, other=other)),
    )


def _to_gold(answer: Excerpt, gold: Excerpt) -> tuple[Piece, ...]:
    """Returns the diff from the gold answer; empty if they share no word, or all of them."""
    pieces = diff(gold.text, answer.text)
    has_common = any(piece.kind is Kind.SAME and piece.text.strip() for piece in pieces)
    return pieces if has_common and len(pieces) > 1 else ()


def _others(letter: str, rollout: Rollout, *, walk: _Walk, other: Rollout) -> Iterator[tuple[str, str, bool]]:
    """Yields the rollouts that this column can show: each of the example, its URL, and whether it is shown."""
    for pk, cell in walk.cells(rollout.example_id).items():
        for each in cell.repetitions:
            if each.rollout == other.pk:
                continue
            repeated = f" r{each.number}" if len(cell.repetitions) > 1 else ""
            pair = (each.rollout, other.pk) if letter == "a" else (other.pk, each.rollout)
            yield walk.arms[pk].name + repeated, walk.address(*pair), each.rollout == rollout.pk


@dataclass(frozen=True)
class _Fact:
    """One line of the head-to-head: both values, short and exact, and which one is smaller."""

    title: str
    values: tuple[str, str]
    exactly: tuple[str, str]
    less: str


def _facts(first: Rollout, second: Rollout) -> Iterator[_Fact]:
    pair = (first, second)
    yield _fact("stop reason", *(_words(rollout) for rollout in pair))
    for title, name in (
        ("root turns", "turns"),
        ("REPL cells", "cells"),
        ("tool calls", "tool_calls"),
        ("sub-LLM calls", "sub_calls"),
        ("main-model tokens", "main_tokens"),
        ("sub-LLM tokens", "sub_tokens"),
    ):
        numbers = [_known(rollout, name) for rollout in pair]
        yield _fact(title, *(count(number) for number in numbers), numbers=numbers)
    costs = [_known(rollout, "cost") for rollout in pair]
    in_dollars = [
        dollars(cost) if rollout.finished_at and rollout.started_at else "–"
        for cost, rollout in zip(costs, pair, strict=True)
    ]
    yield _fact("cost", *in_dollars, numbers=costs)
    seconds = [rollout.seconds for rollout in pair]
    yield _fact("time", *(duration(each) for each in seconds), numbers=seconds)


def _known(rollout: Rollout, name: str) -> Any:
    """Returns a sum of a rollout that ran to its end; None for others."""
    return getattr(rollout, name) if rollout.finished_at and rollout.started_at else None


def _words(rollout: Rollout) -> str:
    return visible(unescape(rollout.stop_reason)) or rollout.status


def _fact(title: str, first: str, second: str, *, numbers: Sequence[Any] = (None, None)) -> _Fact:
    one, other = numbers
    less = ""
    if one is not None and other is not None and one != other:
        less = "a" if one < other else "b"
    exactly = tuple("" if number is None else exact(float(number)) for number in numbers)
    return _Fact(title=title, values=(first, second), exactly=(exactly[0], exactly[1]), less=less)
