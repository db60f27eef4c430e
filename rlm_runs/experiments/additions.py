"""Adds arms, examples and repetitions to an experiment.

The caller gives the whole new spec. Existing arms, examples and rollouts stay as they are, so adding twice adds
once. All arms of an environment keep the same examples: earlier ones keep their positions, and new ones follow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.models import Count

from ..engine.environments.base import Environment
from ..engine.environments.base import Example as EngineExample
from ..execution import queue
from ..execution.experiment_log import COMMAND_LINE, record_action
from ..execution.selection import Refused
from ..models import Arm, Experiment, Rollout
from ..models.texts import storable
from .estimate import estimate
from .launch import arm_columns, check_paths, create_arms, keep_examples, load_examples, prepare_sandboxes
from .plan import Plan, PlannedArm, resolve


@dataclass(frozen=True)
class Additions:
    """The additions of a spec. `dollars` is None if a model has no known price."""

    plan: Plan
    arms: tuple[PlannedArm, ...]
    rollouts: int
    dollars: Decimal | None


def extended_spec(
    experiment: Experiment,
    *,
    examples: int | None = None,
    repetitions: int | None = None,
    **entries: Sequence[Any],
) -> dict[str, Any]:
    """Returns the stored spec with additions.

    `examples` and `repetitions` are totals. `entries` are additional `models`, `scaffolds` and `environments`,
    each a name or a table; existing entries are not repeated.
    """
    found: dict[str, Any] = dict(experiment.spec)
    for name, total in (("examples", examples), ("repetitions", repetitions)):
        if total is not None:
            found[name] = total
    for name, more in entries.items():
        there = list(found.get(name, ()))
        found[name] = there + [entry for entry in more if entry not in there]
    return found


def additions(experiment: Experiment, raw: Mapping[str, Any]) -> Additions:
    """Returns the additions of a spec to an experiment. Raises Refused, and SpecError if the spec itself is
    invalid.
    """
    plan = _plan(experiment, raw)
    existing = dict(experiment.rollouts().values_list("arm__settings_hash").annotate(n=Count("id")).order_by())
    per_arm = plan.spec.examples * plan.spec.repetitions
    rollouts, dollars = 0, Decimal(0)
    unpriced = False
    for of_arm in estimate(plan).arms:
        added = max(0, per_arm - existing.get(_hash(of_arm.arm), 0))
        rollouts += added
        if of_arm.dollars is None:
            unpriced = unpriced or added > 0
        else:
            dollars += of_arm.dollars * added / per_arm
    known = set(experiment.arms.values_list("settings_hash", flat=True))
    fresh = tuple(arm for arm in plan.arms if _hash(arm) not in known)
    return Additions(plan, fresh, rollouts, None if unpriced else dollars)


def extend(
    experiment: Experiment, raw: Mapping[str, Any], *, actor: str = COMMAND_LINE, data_dir: Path | None = None
) -> int:
    """Adds what the spec has and the experiment lacks. Returns the number of new rollouts, which may be 0.

    Raises Refused and SpecError, in which case nothing is written.
    """
    plan = _plan(experiment, raw)
    if data_dir is not None:
        check_paths(plan, data_dir)
    known = dict(experiment.arms.values_list("settings_hash", "pk"))
    fresh = replace(plan, arms=tuple(arm for arm in plan.arms if _hash(arm) not in known))
    loaded = _load_missing(plan, known)
    images = prepare_sandboxes(fresh)
    with transaction.atomic():
        current = Experiment.objects.select_for_update(no_key=True).get(pk=experiment.pk)
        _plan(current, raw)  # it may have been cancelled or extended in the meantime
        known = dict(current.arms.values_list("settings_hash", "pk"))
        fresh = replace(plan, arms=tuple(arm for arm in plan.arms if _hash(arm) not in known))
        create_arms(fresh, current, images=images, first=len(known))
        arms = {arm.settings_hash: arm for arm in current.arms.all()}
        examples = [
            _examples_of(environment, index, plan=plan, arms=known, loaded=loaded.get(index, ()))
            for index, environment in enumerate(plan.environments)
        ]
        added = _create_missing(plan, [arms[_hash(arm)] for arm in plan.arms], examples)
        if not added:
            return 0
        current.spec = storable(plan.spec.written())
        current.save(update_fields=["spec"])
        details = {
            "arms": len(fresh.arms),
            "examples": plan.spec.examples,
            "repetitions": plan.spec.repetitions,
            "rollouts": added,
        }
        record_action(current, action="extended", actor=actor, details=details)
        transaction.on_commit(queue.notify_workers)
    return added


def _plan(experiment: Experiment, raw: Mapping[str, Any]) -> Plan:
    """Returns the plan of the new spec, which must contain the old one."""
    if experiment.sources:
        raise Refused("nothing can be added to imported rollouts: launch a separate experiment")
    if experiment.cancelled_at is not None:
        raise Refused("it is cancelled: retry its cancelled rollouts first, or clone it")
    plan = resolve(raw)
    if plan.spec.seed != experiment.seed:
        raise Refused(
            f"its seed is {experiment.seed}, not {plan.spec.seed}: other examples make another experiment"
        )
    for name in ("examples", "repetitions"):
        before, after = experiment.spec.get(name, 1), getattr(plan.spec, name)
        if after < before:
            raise Refused(f"it has {before:,} {name} already, and {after:,} would be fewer")
    kept = {_hash(arm) for arm in plan.arms}
    for arm in experiment.arms.all():
        if arm.settings_hash not in kept:
            raise Refused(f"the arm {arm} is not in the new spec, or its settings mean something else by now")
    return plan


def _hash(arm: PlannedArm) -> str:
    return str(arm_columns(arm)["settings_hash"])


def _load_missing(plan: Plan, known: Mapping[str, int]) -> dict[int, Sequence[EngineExample]]:
    """Returns a map of spec entry → its examples, for the entries that have too few in the store."""
    short = [
        index
        for index in range(len(plan.environments))
        if len(_stored_examples(plan, index, arms=known)) < plan.spec.examples
    ]
    wanted = replace(plan, environments=tuple(plan.environments[index] for index in short))
    return dict(zip(short, load_examples(wanted), strict=True))


def _stored_examples(plan: Plan, index: int, *, arms: Mapping[str, int]) -> list[int]:
    """Returns the ids of the examples of an entry's arms, in order."""
    of_entry = [arms[key] for arm in plan.arms if arm.environment_index == index and (key := _hash(arm)) in arms]
    places = Rollout.objects.filter(arm__in=of_entry[:1]).values_list("example_position", "example")
    return [example for _, example in sorted(set(places))]


def _examples_of(
    environment: Environment[Any],
    index: int,
    *,
    plan: Plan,
    arms: Mapping[str, int],
    loaded: Sequence[EngineExample],
) -> list[int]:
    stored = _stored_examples(plan, index, arms=arms)
    if not loaded:
        return stored
    more = [row.pk for row in keep_examples(environment.name, loaded)]
    return (stored + [pk for pk in more if pk not in set(stored)])[: plan.spec.examples]


def _create_missing(plan: Plan, arms: Sequence[Arm], examples: Sequence[Sequence[int]]) -> int:
    """Creates the missing rollouts, in the order of a launch. Returns how many."""
    there = set(Rollout.objects.filter(arm__in=arms).values_list("arm", "example", "repetition"))
    rows = [
        Rollout(arm=arm, example_id=example, example_position=position, repetition=repetition)
        for repetition in range(plan.spec.repetitions)
        for position in range(max(map(len, examples)))
        for arm, planned in zip(arms, plan.arms, strict=True)
        for example in _at(examples[planned.environment_index], position)
        if (arm.pk, example, repetition) not in there
    ]
    Rollout.objects.bulk_create(rows, batch_size=2000)
    return len(rows)


def _at(examples: Sequence[int], position: int) -> Iterable[int]:
    return examples[position : position + 1]
