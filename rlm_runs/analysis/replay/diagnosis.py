"""Candidate moments at which a rollout went wrong, found by rules. They are hints for reading, not verdicts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.db.models import Q

from ...models import Execution, Rollout, Text, Trajectory
from ...models.texts import escape
from ..transcripts import EMPTY, Excerpt, code_of, excerpts
from .variables import bound_names

_LONGEST_ANSWER = 200
"""The maximum length of an answer that is searched in outputs, in characters."""
_ANSWER_CHARS = 4_000
_CODE_CHARS = 50_000


@dataclass(frozen=True)
class Moment:
    """One candidate. `turn` and `cell` count from 1; `explanation` is one line."""

    rule: str
    title: str
    explanation: str
    turn: int
    cell: int


@dataclass(frozen=True)
class _Cell:
    pk: int
    turn: int
    number: int
    error: str
    answer: str
    was_ready: bool
    code: str
    says_given: bool
    says_gold: bool
    hides_gold: bool


def read(rollout: Rollout, *, attempt: int) -> tuple[Moment, ...]:
    """Returns the candidate moments of an attempt's root, in the order of its turns. At most five queries."""
    gold, given = _answers(rollout)
    cells = _cells(rollout, attempt=attempt, gold=gold, given=given)
    found = [
        *_contradictions(cells, gold, given),
        *_errors(cells),
        *_edits(cells, gold, given),
        *_truncations(cells, gold),
    ]
    return tuple(sorted(found, key=lambda moment: (moment.cell, moment.rule)))


def _answers(rollout: Rollout) -> tuple[str, str]:
    found = excerpts([key for key in (rollout.example.answer_id, rollout.answer_id) if key], chars=_ANSWER_CHARS)
    gold, given = found.get(rollout.example.answer_id, EMPTY), found.get(rollout.answer_id or "", EMPTY)
    return _whole(gold), _whole(given)


def _whole(text: Excerpt) -> str:
    """Returns the text; "" if it is too long to search for."""
    return "" if text.is_cut else text.text.strip()


def _cells(rollout: Rollout, *, attempt: int, gold: str, given: str) -> list[_Cell]:
    rows = Execution.objects.filter(
        turn__trajectory__rollout=rollout,
        turn__trajectory__attempt=attempt,
        turn__trajectory__kind=Trajectory.Kind.ROOT,
        kind=Execution.Kind.CELL,
        finished=True,
    ).order_by("turn__index", "position")
    fields = list(
        rows.values_list(
            "pk",
            "turn__index",
            "error_type",
            "answer_id",
            "ready",
            "arguments_id",
            "shown_id",
            "truncated",
            "output_id",
        )
    )
    says_given = _texts_with_answer(given, {row[6] for row in fields})
    says_gold = _texts_with_answer(gold, {row[6] for row in fields})
    hidden = _texts_with_answer(gold, {row[8] for row in fields if row[7] and row[6] not in says_gold})
    answers = excerpts({row[3] for row in fields if row[3]}, chars=_ANSWER_CHARS)
    codes = excerpts({row[5] for row in fields}, chars=_CODE_CHARS) if any(row[2] for row in fields) else {}
    return [
        _Cell(
            pk=pk,
            turn=turn + 1,
            number=number,
            error=error,
            answer=answers.get(answer or "", EMPTY).text.strip(),
            was_ready=bool(ready),
            code=code_of(codes.get(arguments, EMPTY))[0].text,
            says_given=shown in says_given,
            says_gold=shown in says_gold,
            hides_gold=truncated and output in hidden,
        )
        for number, (pk, turn, error, answer, ready, arguments, shown, truncated, output) in enumerate(
            fields, start=1
        )
    ]


def _texts_with_answer(answer: str, digests: set[str | None]) -> set[str]:
    """Returns the texts that contain the answer as separate words. The database searches them; no text is read
    here.
    """
    if not answer or len(answer) > _LONGEST_ANSWER:
        return set()
    pattern = rf"(^|[^[:alnum:]]){re.escape(escape(answer))}($|[^[:alnum:]])"
    rows = Text.objects.filter(Q(sha256__in=digests - {None}), body__iregex=pattern)
    return set(rows.values_list("sha256", flat=True))


def _contradictions(cells: Sequence[_Cell], gold: str, given: str) -> Iterator[Moment]:
    if not given or _same(given, gold):
        return
    first = next((cell for cell in cells if cell.says_given and not cell.says_gold), None)
    if first is not None:
        yield Moment(
            "contradiction",
            "First output with the wrong answer",
            f"The output says {_short(given)}; the gold answer is {_short(gold)}.",
            first.turn,
            first.number,
        )


def _errors(cells: Sequence[_Cell]) -> Iterator[Moment]:
    """Yields the first failed cell that was never repaired: no later cell binds its names, or none succeeded."""
    for place, cell in enumerate(cells):
        if not cell.error:
            continue
        later = [other for other in cells[place + 1 :] if not other.error]
        names = bound_names(cell.code)
        missing = names - set[str]().union(*(bound_names(other.code) for other in later))
        if not later or (names and missing == names):
            why = f"nothing later binds {', '.join(sorted(missing)[:3])}" if later else "no later cell succeeded"
            yield Moment(
                "error",
                "Error without recovery",
                f"{cell.error} in In[{cell.number}]; {why}.",
                cell.turn,
                cell.number,
            )
            return


def _edits(cells: Sequence[_Cell], gold: str, given: str) -> Iterator[Moment]:
    before = ""
    for cell in cells:
        if before and _same(before, gold) and not _same(cell.answer, gold):
            yield Moment(
                "edit",
                "Edit that made the answer wrong",
                f"answer was {_short(before)} and became {_short(cell.answer)}.",
                cell.turn,
                cell.number,
            )
            return
        before = cell.answer
    if given and not _same(given, gold):
        wrote = next((cell for cell in cells if cell.answer == given), None)
        if wrote is not None:
            yield Moment("edit", "First wrong answer", f"answer became {_short(given)}.", wrote.turn, wrote.number)


def _truncations(cells: Sequence[_Cell], gold: str) -> Iterator[Moment]:
    cut = next((cell for cell in cells if cell.hides_gold), None)
    if cut is not None:
        yield Moment(
            "cut",
            "Cut output hid the answer",
            f"The whole output of In[{cut.number}] has {_short(gold)}; the part that the model saw does not.",
            cut.turn,
            cut.number,
        )


def _same(one: str, other: str) -> bool:
    """Returns whether two answers are equal, ignoring case, spaces, punctuation at the ends and number formats."""
    left, right = (re.sub(r"\s+", " ", text).strip(" .\"'`*").casefold() for text in (one, other))
    if left == right:
        return True
    try:
        return float(left.replace(",", "")) == float(right.replace(",", ""))
    except ValueError:
        return False


def _short(text: str) -> str:
    line = " ".join(text.split())
    return f"“{line[:60]}…”" if len(line) > 60 else f"“{line}”"
