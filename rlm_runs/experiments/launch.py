"""Launches a spec: validates it, then writes arms, examples and rollouts, or nothing. Messages go out on commit.

experiment = launch(tomllib.loads(text), user=request.user)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.db import transaction

from sandbox.contract import SandboxError

from ..engine.environments.base import EnvironmentFault
from ..engine.environments.base import Example as EngineExample
from ..execution import queue, sandboxes
from ..execution.code_version import code_version
from ..execution.experiment_log import COMMAND_LINE, record_action
from ..models import Arm, Example, Experiment, Rollout, Text
from ..models.texts import storable
from .identity import content_hash, example_hash, free_slug
from .plan import Plan, PlannedArm, resolve
from .problems import Problem, SpecError

if TYPE_CHECKING:
    from django.contrib.auth.models import User

__all__ = ["Problem", "SpecError", "launch"]


def launch(
    raw: Mapping[str, Any], *, user: User | None = None, actor: str = "", data_dir: Path | None = None
) -> Experiment:
    """Launches an experiment. Raises SpecError, in which case nothing is written.

    `actor` is named in the experiment's log; by default the user or the command line. With `data_dir`, the spec
    may only name files in that folder, because its author may not read other files of this machine.
    """
    plan = resolve(raw)
    if data_dir is not None:
        check_paths(plan, data_dir)
    examples = load_examples(plan)
    images = prepare_sandboxes(plan)
    with transaction.atomic():
        experiment = _create_experiment(plan, user=user)
        arms = create_arms(plan, experiment, images=images)
        rows = [keep_examples(plan.environments[i].name, loaded) for i, loaded in enumerate(examples)]
        rollouts = _create_rollouts(plan, arms, rows)
        record_action(
            experiment,
            action="launched",
            actor=actor or (user.get_username() if user else COMMAND_LINE),
            details={"arms": len(arms), "rollouts": len(rollouts)},
        )
        transaction.on_commit(queue.notify_workers)
    return experiment


def check_paths(plan: Plan, data_dir: Path) -> None:
    """Raises SpecError for files outside of the folder."""
    problems = []
    for index, environment in enumerate(plan.environments):
        path = getattr(environment.settings, "path", "")
        if path and not Path(path).resolve().is_relative_to(data_dir.resolve()):
            message = f"must be a file in the data folder {data_dir} (of RLM_DATA_DIR), not {path!r}"
            problems.append(Problem(f"environments[{index}].path", message))
    if problems:
        raise SpecError(problems)


Images = Mapping[tuple[str, ...], str]
"""Packages → the image or backend that runs code, as `Backend.prepare` names it."""


def prepare_sandboxes(plan: Plan) -> Images:
    """Builds the sandbox images and returns them.

    Raises SpecError for models that may not run code and for images that do not build, because every rollout
    with them would fail.
    """
    problems = []
    coders = {model.name: model for arm in plan.arms for model in arm.coders}
    for name, model in coders.items():
        if refusal := sandboxes.refusal(model=name, simulated=model.simulated):
            problems.append(Problem(_field_of(name, plan), refusal))
    needed = {(arm.environment_index, arm.packages) for arm in plan.arms if arm.needs_sandbox}
    images = {}
    for index, packages in sorted(needed):
        try:
            images[packages] = sandboxes.backend().prepare(packages)
        except SandboxError as error:
            problems.append(Problem(f"environments[{index}]", f"its sandbox cannot be made: {error}"))
    if problems:
        raise SpecError(problems)
    return images


def _field_of(model: str, plan: Plan) -> str:
    """Returns the field of the spec that names a model."""
    for index, entry in enumerate(plan.spec.models):
        if entry.name == model:
            return f"models[{index}]"
        if entry.sub_model == model:
            return f"models[{index}].sub_model"
    return "sub_model"


def load_examples(plan: Plan) -> list[Sequence[EngineExample]]:
    """Returns the examples of each environment entry, the same for all its arms."""
    loaded, problems = [], []
    for index, environment in enumerate(plan.environments):
        try:
            loaded.append(environment.load(n=plan.spec.examples, seed=plan.spec.seed))
        except EnvironmentFault as error:
            problems.append(Problem(f"environments[{index}]", str(error)))
    if problems:
        raise SpecError(problems)
    return loaded


def _create_experiment(plan: Plan, *, user: User | None) -> Experiment:
    spec = plan.spec
    return Experiment.objects.create(
        slug=free_slug(spec.name),
        name=storable(spec.name),
        description=storable(spec.description),
        spec=storable(spec.written()),
        seed=spec.seed,
        code_version=code_version(),
        budget_dollars=spec.budget.dollars,
        budget_tokens=spec.budget.tokens,
        budget_hours=spec.budget.hours,
        created_by=user,
    )


def create_arms(plan: Plan, experiment: Experiment, *, images: Images, first: int = 0) -> list[Arm]:
    """Creates the rows of the plan's arms, at the positions from `first` on."""
    return Arm.objects.bulk_create(
        Arm(
            experiment=experiment,
            position=position,
            simulated=arm.model.simulated,
            sandbox_image=images[arm.packages] if arm.needs_sandbox else "",
            **arm_columns(arm),
        )
        for position, arm in enumerate(plan.arms, start=first)
    )


def arm_columns(arm: PlannedArm) -> dict[str, Any]:
    """Returns an arm's settings, with every default written out, and their hash."""
    named = {
        "environment": arm.environment.name,
        "environment_settings": arm.environment.settings.model_dump(mode="json"),
        "scaffold": arm.scaffold,
        "scaffold_settings": arm.scaffold_settings.model_dump(mode="json"),
        "model": arm.model.name,
        "sub_model": arm.sub_model.name,
        "judge_model": arm.judge_model.name,
        "endpoint": arm.model.endpoint.name,
        "sampling": arm.sampling.given,
    }
    return named | {"settings_hash": content_hash(named)}


def keep_examples(environment: str, examples: Sequence[EngineExample]) -> list[Example]:
    """Returns the rows of the examples in order, shared with other experiments that use them."""
    prompts = Text.objects.keep(example.prompt for example in examples)
    answers = Text.objects.keep(example.answer for example in examples)
    inputs = iter(Text.objects.keep(example.input_data for example in examples if example.input_data is not None))
    seen: Counter[tuple[str, str, str | None]] = Counter()
    rows = []
    for example, prompt, answer in zip(examples, prompts, answers, strict=True):
        input_data = None if example.input_data is None else next(inputs)
        seen[prompt, answer, input_data] += 1
        content = example_hash(
            environment,
            prompt=prompt,
            answer=answer,
            input_data=input_data,
            occurrence=seen[prompt, answer, input_data],
        )
        rows.append(
            Example(
                environment=environment,
                prompt_id=prompt,
                answer_id=answer,
                input_data_id=input_data,
                metadata=storable(dict(example.metadata)),
                content_hash=content,
            )
        )
    Example.objects.bulk_create(rows, ignore_conflicts=True)
    kept = {
        row.content_hash: row for row in Example.objects.filter(content_hash__in=[r.content_hash for r in rows])
    }
    return [kept[row.content_hash] for row in rows]


def _create_rollouts(plan: Plan, arms: Sequence[Arm], examples: Sequence[Sequence[Example]]) -> list[Rollout]:
    """Creates the rollouts by repetition, example and arm, so that all arms have seen the same examples at any
    time.
    """
    most = max(len(loaded) for loaded in examples)
    rows = [
        Rollout(
            arm=arm,
            example=examples[planned.environment_index][position],
            example_position=position,
            repetition=repetition,
        )
        for repetition in range(plan.spec.repetitions)
        for position in range(most)
        for arm, planned in zip(arms, plan.arms, strict=True)
        if position < len(examples[planned.environment_index])
    ]
    return Rollout.objects.bulk_create(rows, batch_size=2000)
