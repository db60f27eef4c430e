"""The check before a launch: one tiny call to each model, all at once, tests what the rollouts need.

Simulated models are not called, and no model is called twice. A model that does not answer in time causes a
warning, because a server may be waking up; rollouts wait longer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from ..engine.cancellation import CancellationToken
from ..engine.errors import Stopped
from ..engine.probe import Finding, Unreachable, check
from ..execution.endpoints import ModelChoice
from ..execution.probe_client import probe_client
from .judging import has_judge
from .plan import Plan, PlannedArm
from .problems import Problem

SECONDS = 20.0
"""The time limit of the check in seconds, for all models together."""
_AT_ONCE = 16


@dataclass(frozen=True)
class ModelCheck:
    """The result of the check: problems that prevent a launch, warnings, and the names of the models that are
    `ready`."""

    problems: Sequence[Problem] = ()
    warnings: Sequence[str] = ()
    ready: Sequence[str] = ()


def check_models(plan: Plan) -> ModelCheck:
    """Calls each model of a plan. Takes SECONDS at most."""
    uses = dict(_uses(plan))
    control = CancellationToken()
    pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="launch-check")
    try:
        asked = {model: pool.submit(_ask, model, tools=tools, control=control) for model, tools in uses.items()}
        answered, _ = wait(asked.values(), timeout=SECONDS)
    finally:
        control.stop("abandoned")
        pool.shutdown(wait=False, cancel_futures=True)
    problems, warnings, ready = [], [], []
    for model, future in asked.items():
        if future not in answered:
            warnings.append(f"{model.name} does not answer within {SECONDS:.0f} s")
        elif message := _problem(model, future):
            problems.append(Problem(_field_of(model.name, plan), message))
        else:
            ready.append(model.name)
    return ModelCheck(problems, warnings, ready)


def _uses(plan: Plan) -> Iterator[tuple[ModelChoice, bool]]:
    """Yields each model to call, and whether it must call tools."""
    needs: dict[ModelChoice, bool] = {}
    for arm in plan.arms:
        for model, tools in _roles(arm):
            if not model.simulated:
                needs[model] = needs.get(model, False) or tools
    return iter(needs.items())


def _roles(arm: PlannedArm) -> Iterator[tuple[ModelChoice, bool]]:
    has_tools = bool(arm.environment.tools())
    yield arm.model, arm.needs_sandbox or has_tools
    if arm.driver.calls_sub_llms:
        yield arm.sub_model, arm.driver.sub_llms_run_code or has_tools
    if has_judge(arm.environment):
        yield arm.judge_model, False


def _ask(model: ModelChoice, *, tools: bool, control: CancellationToken) -> Finding:
    with probe_client(model, tries=1, seconds=SECONDS) as client:
        return check(client, model.name, tools=tools, control=control)


def _problem(model: ModelChoice, future: Future[Finding]) -> str:
    """Returns why the model cannot be used; "" if it can."""
    try:
        finding = future.result()
    except Unreachable as error:
        return f"{model.name} cannot be reached: {error}"
    except Stopped:
        return ""
    if finding.verdict != "no":
        return ""
    return (
        f'{model.name} takes no tools: {finding.detail}. Where a model has no tool calling, tools = "text" in the '
        "endpoints file has it write blocks instead"
    )


def _field_of(name: str, plan: Plan) -> str:
    """Returns the field of the spec that names the model."""
    for index, entry in enumerate(plan.spec.models):
        if entry.name == name:
            return f"models[{index}]"
        if entry.sub_model == name:
            return f"models[{index}].sub_model"
        if entry.judge_model == name:
            return f"models[{index}].judge_model"
    return "sub_model" if plan.spec.sub_model == name else "judge_model"
