"""Forks a rollout: the recorded part becomes rows of a new rollout, which a worker continues.

The new rollout is an attempt that was cut off after the forked turn, so workers rebuild its REPL and resume it
like any attempt. It belongs to a hidden experiment, one per experiment that has forks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils.timezone import now

from ..analysis.stored_traces import stored_trace
from ..engine.forks import BadFork, Edit, Place, fork
from ..engine.recording import Recording
from ..execution import queue
from ..execution.experiment_log import COMMAND_LINE
from ..execution.recorder import Recorder
from ..execution.selection import Refused
from ..models import Arm, Experiment, Fork, Rollout
from ..models.texts import storable
from .identity import free_slug
from .launch import Images, arm_columns, create_arms, prepare_sandboxes
from .plan import Plan, resolve
from .problems import Problem, SpecError

__all__ = ["ForkRequest", "Place", "Problem", "Refused", "SpecError", "create_fork"]


@dataclass(frozen=True)
class ForkRequest:
    """The forked turn and the changes. `attempt` None means the last one.

    `settings` and `sampling` hold changed settings of the scaffold and of sampling, by name; None removes a
    sampling parameter. An empty model name keeps the origin's model.
    """

    turn: int
    attempt: int | None = None
    message: str | None = None
    code: str | None = None
    answers: Mapping[Place, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    sampling: Mapping[str, Any] = field(default_factory=dict)
    model: str = ""
    sub_model: str = ""
    hold: str = Fork.Hold.DIFFERENT

    @property
    def edit(self) -> Edit:
        """The edit of the forked turn."""
        return Edit(message=self.message, code=self.code, answers=self.answers)


def create_fork(origin: Rollout, asked: ForkRequest, *, author: str = COMMAND_LINE) -> Rollout:
    """Creates a fork and queues it. `author` is shown with it.

    Raises Refused, and SpecError for invalid settings and models, in which case nothing is written.
    """
    if origin.arm.experiment.sources or origin.reported:
        raise Refused("imported rollouts cannot be forked: their environment and their REPL's state are not here")
    attempt = origin.attempt if asked.attempt is None else asked.attempt
    recording = _recording(origin, asked, attempt=attempt)
    changes, plan = _plan(origin.arm, asked)
    images = prepare_sandboxes(plan)
    with transaction.atomic():
        of = Experiment.everything.select_for_update(no_key=True).get(pk=origin.arm.experiment.shown.pk)
        if of.deleted_at is not None:
            raise Refused("its experiment is deleted")
        arm = _arm(_experiment_of_forks(of), plan, images)
        rollout = _rollout(origin, arm)
        _record(rollout, recording, model=arm.model)
        Fork.objects.create(
            rollout=rollout,
            origin=origin,
            origin_attempt=attempt,
            turn=asked.turn,
            edit=_stored_edit(asked.edit),
            changes=storable(changes),
            hold=asked.hold,
            author=author,
        )
        transaction.on_commit(queue.notify_workers)
    return rollout


def _recording(origin: Rollout, asked: ForkRequest, *, attempt: int) -> Recording:
    try:
        return fork(Recording.of(stored_trace(origin, attempt=attempt).events), turn=asked.turn, edit=asked.edit)
    except BadFork as error:
        raise Refused(str(error)) from error


def _plan(arm: Arm, asked: ForkRequest) -> tuple[dict[str, Any], Plan]:
    """Returns the differences from the origin's arm, by name, and the plan of the fork's only arm."""
    sampling = {**arm.sampling, **asked.sampling}
    model = {
        "name": asked.model or arm.model,
        "sub_model": asked.sub_model or _kept_sub_model(arm, asked),
        "judge_model": arm.judge_model or None,
        **{name: value for name, value in sampling.items() if value is not None},
    }
    plan = resolve(
        {
            "name": "fork",
            "examples": 1,
            "models": [{name: value for name, value in model.items() if value is not None}],
            "scaffolds": [{"name": arm.scaffold, **arm.scaffold_settings, **asked.settings}],
            "environments": [{"name": arm.environment, **arm.environment_settings}],
        }
    )
    after = arm_columns(plan.arms[0])
    changes = {name: after[name] for name in ("model", "sub_model") if after[name] != getattr(arm, name)}
    for group, given in (("scaffold_settings", asked.settings), ("sampling", asked.sampling)):
        before = getattr(arm, group)
        changes |= {name: after[group].get(name) for name in given if before.get(name) != after[group].get(name)}
    return changes, plan


def _kept_sub_model(arm: Arm, asked: ForkRequest) -> str:
    """Returns the fork's sub-model: the origin's, or the new model if the origin's root and sub-LLMs share one."""
    return asked.model if asked.model and arm.sub_model == arm.model else arm.sub_model


def _experiment_of_forks(of: Experiment) -> Experiment:
    found = Experiment.everything.filter(forks_of=of).first()
    return found or Experiment.objects.create(
        slug=free_slug(f"forks of {of.slug}"),
        name=f"Forks of {of.name}"[:200],
        spec={},
        seed=of.seed,
        code_version=of.code_version,
        forks_of=of,
    )


def _arm(experiment: Experiment, plan: Plan, images: Images) -> Arm:
    wanted = arm_columns(plan.arms[0])["settings_hash"]
    found = experiment.arms.filter(settings_hash=wanted).first()
    if found is None:
        (found,) = create_arms(plan, experiment, images=images, first=experiment.arms.count())
    return found


def _rollout(origin: Rollout, arm: Arm) -> Rollout:
    twins = Rollout.objects.filter(arm=arm, example=origin.example_id).aggregate(last=Max("repetition"))
    return Rollout.objects.create(
        arm=arm,
        example_id=origin.example_id,
        example_position=origin.example_position,
        repetition=0 if twins["last"] is None else twins["last"] + 1,
        attempt=1,
        cut_off=True,
        started_at=now(),
    )


def _record(rollout: Rollout, recording: Recording, *, model: str) -> None:
    """Writes the recorded part. The root's conversation gets the model that continues it."""
    trajectories = [
        replace(each, start=replace(each.start, model=model)) if each.start.kind == "root" else each
        for each in recording.trajectories
    ]
    Recorder(rollout).record_all(replace(recording, trajectories=trajectories).events())


def _stored_edit(edit: Edit) -> dict[str, Any]:
    answers: Sequence[dict[str, Any]] = [
        {"execution": place.execution, "batch": place.batch, "position": place.position, "answer": text}
        for place, text in edit.answers.items()
    ]
    found: dict[str, Any] = storable(
        {"message": edit.message, "code": edit.code, "answers": list(answers) or None}
    )
    return found
