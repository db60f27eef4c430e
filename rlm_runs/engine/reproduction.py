"""Reproduces a rollout: its recorded cells run again at every depth, and differences are reported.

No model is asked and no tool is called. Where a cell differs, the reproduction follows the recording.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sandbox.contract import Backend

from .budget import Budget, BudgetLimits
from .cancellation import CancellationToken
from .clients.base import Completion
from .errors import BudgetSpent, RolloutFailure, WindowExceeded
from .recording import Recording
from .replay import Difference, RecordingOver, Replay
from .rollout import RolloutPlan, task_of
from .rollout_context import Model, Models, RolloutContext
from .scaffolds.base import Task


@dataclass(frozen=True)
class Reproduction:
    """The number of cells that ran again, and what differed."""

    cells: int
    differences: Sequence[Difference]


class _NoModel:
    """A client that must not be reached."""

    def complete(self, **_: object) -> Completion:
        raise RecordingOver("a reproduction asks no model")


def reproduce(plan: RolloutPlan, *, backend: Backend, control: CancellationToken | None = None) -> Reproduction:
    """Replays the plan's recording. Raises SandboxError if no sandbox is available."""
    recording = plan.recording or Recording()
    differences: list[Difference] = []
    nobody = _NoModel()
    run = RolloutContext(
        models=Models(
            main=Model(plan.model, nobody, window=plan.window),
            sub=Model(plan.sub_model, nobody, window=plan.sub_window),
            judge=Model("", nobody),
        ),
        budget=Budget(BudgetLimits()),
        control=control or CancellationToken(),
        record=lambda events: None,
        price=lambda *_: None,
        replay=Replay(recording, on_difference=differences.append, whole=True),
    )
    _compare_end(recording, _outcome(plan, task_of(plan, run, backend)), differences)
    cells = sum(each.start.kind == "cell" and each.end is not None for each in recording.executions)
    return Reproduction(cells, differences)


def _outcome(plan: RolloutPlan, task: Task) -> tuple[str, str] | None:
    """Returns the stop reason and the answer; None if the recording was cut off, or the replay left it early."""
    try:
        result = plan.scaffold.run(task)
    except RecordingOver:
        return None
    except (BudgetSpent, WindowExceeded) as ended:
        return ended.stop_reason, task.answer()
    except RolloutFailure as failure:
        return failure.stop_reason, task.answer()
    return result.stop_reason, result.answer or task.answer()


def _compare_end(recording: Recording, outcome: tuple[str, str] | None, differences: list[Difference]) -> None:
    root = recording.root
    if root is None or root.end is None or outcome is None:
        return
    recorded = root.end.stop_reason, root.end.answer or ""
    for what, then, now in zip(("the stop reason", "the answer"), recorded, outcome, strict=True):
        if then != now:
            differences.append(Difference(f"{what} is another one", then, now))
