"""One moment of a rollout: the root's state right after a turn."""

from __future__ import annotations

from dataclasses import dataclass

from ...models import Execution, Trajectory, Turn
from ..transcripts import EMPTY, Excerpt, excerpts
from . import context_window, variables
from .context_window import WindowTurn
from .variables import CellVariables

_ANSWER_CHARS = 2_000


@dataclass(frozen=True)
class AnswerNow:
    """`answer` after a turn. `changed` says whether a cell of that turn set it."""

    text: Excerpt
    is_ready: bool
    changed: bool


@dataclass(frozen=True)
class Moment:
    """The state after turn `number`, counted from 1. `cell` has the variables after the latest cell so far.

    `windows` has all turns' prompts, for their common scale; `window` is that of this turn.
    """

    number: int
    turn: Turn
    answer: AnswerNow | None
    cell: CellVariables | None
    windows: tuple[WindowTurn, ...]
    window: WindowTurn

    @property
    def is_of_this_turn(self) -> bool:
        """Whether the variables come from a cell of this turn."""
        return self.cell is not None and self.cell.turn == self.number


def read(root: Trajectory, *, number: int) -> Moment | None:
    """Returns the moment after a turn; None if there is no such turn. Eight queries."""
    turn = root.turns.filter(index=number - 1).first()
    if turn is None:
        return None
    cells = [cell for cell in variables.read(root).cells if cell.turn <= number]
    windows = context_window.read(root)
    return Moment(
        number=number,
        turn=turn,
        answer=_answer(root, number=number),
        cell=cells[-1] if cells else None,
        windows=windows,
        window=windows[number - 1],
    )


def _answer(root: Trajectory, *, number: int) -> AnswerNow | None:
    cells = Execution.objects.filter(
        turn__trajectory=root, kind=Execution.Kind.CELL, finished=True, answer__isnull=False
    ).order_by("-turn__index", "-position")
    now = cells.filter(turn__index__lt=number).values_list("answer_id", "ready").first()
    if now is None:
        return None
    before = cells.filter(turn__index__lt=number - 1).values_list("answer_id", "ready").first()
    text = excerpts([now[0]], chars=_ANSWER_CHARS).get(now[0], EMPTY)
    return AnswerNow(text, is_ready=bool(now[1]), changed=now != before)
