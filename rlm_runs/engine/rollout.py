"""One rollout from start to end: the scaffold runs, the answer is scored, and every failure becomes data.

Only `run_rollout` has a broad `except`: it attributes a failure to its boundary and records it as the end.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any

from sandbox.contract import Backend, EngineUnavailable, Limits, Sandbox, SandboxError, SandboxSpec

from .budget import Budget
from .cancellation import CancellationToken
from .clients.base import Clients
from .clients.budgeted import BudgetedClient
from .conversation import ConversationResult
from .environments.base import Environment, Example, Score, Settings
from .errors import BudgetSpent, RolloutFailure, Stopped, WindowExceeded
from .events import Event, RolloutEnded, RolloutResumed, RolloutStarted, Usage
from .judge import NoVerdict
from .lazy_sandbox import LazySandbox
from .live import LiveBoard
from .recording import Recording
from .replay import Diverged, Replay
from .rollout_context import Model, Models, Price, RolloutContext, now
from .scaffolds.base import Scaffold, Task
from .scoring import score_answer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RolloutPlan:
    """The plan of a rollout: the settings of its arm, the example, and the recording of earlier work."""

    environment: Environment[Settings]
    example: Example
    scaffold: Scaffold[Any]
    model: str
    sub_model: str
    judge_model: str = ""
    window: int | None = None
    sub_window: int | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)
    sandbox_limits: Limits = field(default_factory=Limits)
    recording: Recording | None = None
    replay: Replay | None = None
    """A custom replay of the recording: a fork reports differences and continues."""

    @property
    def needs_sandbox(self) -> bool:
        """Whether the scaffold runs code."""
        return self.scaffold.needs_sandbox(self.environment)

    @property
    def coders(self) -> tuple[str, ...]:
        """The models whose code runs: the root's, and that of sub-LLMs with a REPL of their own."""
        if not self.needs_sandbox:
            return ()
        return (self.model, self.sub_model) if self.scaffold.sub_llms_run_code else (self.model,)


def run_rollout(
    plan: RolloutPlan,
    *,
    clients: Clients,
    backend: Backend,
    record: Callable[[Sequence[Event]], None],
    control: CancellationToken,
    price: Price,
    engine_patience: float = 300.0,
    live: LiveBoard | None = None,
) -> None:
    """Runs one rollout. `record` gets its events, always in the calling thread.

    `engine_patience` is the number of seconds for which its sandbox waits for an unavailable container engine.
    `live` shows its progress.

    With the recording of an interrupted attempt, the rollout continues after its last turn. Raises Diverged if a
    cell behaves differently this time, so that the attempt cannot be continued.

    Raises Stopped (`interrupted`) if the rollout must be resumed, and the errors of `record`. Every other failure
    is recorded as the rollout's end.
    """
    replay = plan.replay or Replay(plan.recording)
    budget = Budget(plan.scaffold.settings.limits, spent=replay.recording.spent)

    def dollars(model: str, usage: Usage) -> Decimal | None:
        cost = price(model, usage, now())
        return cost.dollars if cost else None

    run = RolloutContext(
        models=Models(
            main=Model(plan.model, BudgetedClient(clients.main, budget, dollars=dollars), window=plan.window),
            sub=Model(
                plan.sub_model, BudgetedClient(clients.sub, budget, dollars=dollars), window=plan.sub_window
            ),
            judge=Model(plan.judge_model or plan.model, clients.judge),
            sampling=plan.sampling,
        ),
        budget=budget,
        control=control,
        record=record,
        price=price,
        live=live or LiveBoard(),
        replay=replay,
    )
    run.emit(_begin(plan.recording, sandbox_backend=backend.name if plan.needs_sandbox else ""))
    run.record_events()
    task = task_of(plan, run, backend, engine_patience=engine_patience)
    run.emit(_run_to_end(plan, task))
    run.record_events()


def _begin(recording: Recording | None, *, sandbox_backend: str) -> Event:
    if recording is None:
        return RolloutStarted(at=now(), sandbox_backend=sandbox_backend)
    return RolloutResumed(
        at=now(), sandbox_backend=sandbox_backend, turns=recording.turns, seconds=recording.seconds
    )


def task_of(plan: RolloutPlan, run: RolloutContext, backend: Backend, *, engine_patience: float = 300.0) -> Task:
    """Returns the task of the plan's scaffold, with sandboxes of the backend."""
    packages = tuple(plan.scaffold.packages(plan.environment))
    spec = SandboxSpec(packages=packages, limits=plan.sandbox_limits)

    @contextmanager
    def open_sandbox(control: CancellationToken) -> Iterator[Sandbox]:
        lazy = LazySandbox(partial(backend.start, spec), backend=backend.name, patience=engine_patience)
        with closing(lazy) as sandbox, control.on_stop(sandbox.close):
            yield sandbox

    return Task(run=run, environment=plan.environment, example=plan.example, open_sandbox=open_sandbox)


def _run_to_end(plan: RolloutPlan, task: Task) -> RolloutEnded:
    try:
        ended = _recorded_result(task) or _drive(plan, task)
    except Stopped as stopped:
        _end_root(task, stop_reason=stopped.stop_reason)
        if stopped.stop_reason == "interrupted":
            task.run.record_events()
            raise
        return _failed(task, stopped, stop_reason=stopped.stop_reason, boundary=stopped.boundary)
    except RolloutFailure as failure:
        return _failed(task, failure, stop_reason=failure.stop_reason, boundary=failure.boundary)
    except EngineUnavailable as lost:  # the engine stopped, and the REPL with it
        logger.warning("the rollout is interrupted: %s", lost)
        _end_root(task, stop_reason="interrupted", error=str(lost))
        task.run.record_events()
        raise Stopped(stop_reason="interrupted") from lost
    except SandboxError as failure:
        return _failed(task, failure, stop_reason="sandbox_error", boundary="sandbox")
    except Diverged:
        raise
    except Exception as failure:
        logger.exception("a rollout failed for a reason of ours")
        return _failed(task, failure, stop_reason="internal_error", boundary="internal")
    _end_root(task, stop_reason=ended.stop_reason, answer=ended.answer)
    task.run.record_events()
    try:
        return _scored(plan, task, ended)
    except Stopped as stopped:
        if stopped.stop_reason == "interrupted":  # the next attempt scores it again
            task.run.record_events()
            raise
        return _failed(task, stopped, stop_reason=stopped.stop_reason, boundary=stopped.boundary)


def _recorded_result(task: Task) -> ConversationResult | None:
    """Returns the root's result if the attempt was cut off after it, so that only the scoring is left."""
    root = task.run.replay.recording.root
    if root is None or root.end is None:
        return None
    answer = root.end.answer or ""
    task.answer = lambda: answer
    return ConversationResult(answer, root.end.stop_reason)


def _drive(plan: RolloutPlan, task: Task) -> ConversationResult:
    try:
        result = plan.scaffold.run(task)
        if task.run.replay.diverged is not None:  # the scaffold caught Diverged
            raise Diverged(task.run.replay.diverged)
        task.run.replay.check_live()
        return result
    except (BudgetSpent, WindowExceeded) as ended:
        return ConversationResult(task.answer(), ended.stop_reason)
    except SandboxError:
        task.run.control.check()  # the sandbox may be gone because the rollout was stopped
        raise


def _scored(plan: RolloutPlan, task: Task, ended: ConversationResult) -> RolloutEnded:
    began = time.monotonic()
    score: Score | None = None
    stop_reason, error = ended.stop_reason, ""
    try:
        score = score_answer(plan.environment, plan.example, ended.answer, run=task.run)
    except NoVerdict as failure:
        stop_reason, error = failure.stop_reason, str(failure)
    except Stopped:
        raise
    except RolloutFailure as failure:
        stop_reason, error = "scoring_error", f"the judge could not be asked: {failure}"
    except Exception as failure:  # an environment's own code: its failure is data
        logger.exception("scoring failed")
        stop_reason, error = "scoring_error", f"{type(failure).__name__}: {failure}"
    return RolloutEnded(
        at=now(),
        stop_reason=stop_reason,
        answer=ended.answer,
        scoring_seconds=time.monotonic() - began,
        reward=score.reward if score else None,
        metrics=score.metrics if score else {},
        boundary="scoring" if error else "",
        error=error,
    )


def _failed(task: Task, failure: Exception, *, stop_reason: str, boundary: str) -> RolloutEnded:
    message = str(failure) or type(failure).__name__
    if boundary == "internal":
        message = f"{type(failure).__name__}: {message}"
    _end_root(task, stop_reason=stop_reason, error=message)
    return RolloutEnded(at=now(), stop_reason=stop_reason, answer=task.answer(), boundary=boundary, error=message)


def _end_root(task: Task, *, stop_reason: str, answer: str = "", error: str = "") -> None:
    if task.root is not None:
        task.root.end(stop_reason=stop_reason, answer=answer or task.answer(), error=error)
