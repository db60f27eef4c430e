"""The actions on an experiment: the one registry behind the pages, `manage.py control` and the API.

An action that costs money or removes data shows its effect in numbers and requires confirmation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from ..execution import control, deletion, early_stopping, rescoring, retry
from ..execution.selection import Refused
from ..execution.spending import budget_control
from ..models import Experiment
from . import action_costs
from .action_options import (
    AddOptions,
    BudgetOptions,
    CloneOptions,
    DescribeOptions,
    Options,
    PriorityOptions,
    RescoreOptions,
    RetryOptions,
)
from .additions import additions, extend, extended_spec
from .describing import describe
from .estimate import estimate
from .launch import launch
from .plan import resolve
from .problems import SpecError
from .remaining import budget_standing

__all__ = ["ACTIONS", "Action", "NeedsConfirmation", "Preview", "Refused", "parse", "preview", "take"]


@dataclass(frozen=True)
class Preview:
    """The effect of an action: a sentence, and its numbers by name. An unknown number is None."""

    sentence: str
    numbers: Mapping[str, int | Decimal | None] = field(default_factory=dict)
    is_empty: bool = False


class NeedsConfirmation(Exception):
    """The action costs money or removes data, and was not confirmed."""

    def __init__(self, preview: Preview) -> None:
        super().__init__(preview.sentence)
        self.preview = preview


@dataclass(frozen=True)
class Action:
    """An action. `perform` takes the experiment, the options and the actor, and returns its effect as a sentence.

    `preview` is None if the action needs no confirmation.
    """

    name: str
    title: str
    help: str
    options: type[Options]
    perform: Callable[[Experiment, Any, str], str]
    preview: Callable[[Experiment, Any], Preview] | None = None
    is_destructive: bool = False
    is_due: Callable[[Experiment], bool] = lambda experiment: True

    @property
    def asks(self) -> bool:
        """Whether the action requires confirmation."""
        return self.preview is not None

    @property
    def has_options(self) -> bool:
        """Whether the action has options."""
        return bool(self.options.model_fields)


def parse(action: Action, given: Mapping[str, Any]) -> Options:
    """Returns the validated options of an action. Raises Refused with every problem."""
    try:
        return action.options.model_validate(dict(given))
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_url=False))
        raise Refused("; ".join(problems)) from error


def preview(action: Action, experiment: Experiment, options: Options) -> Preview | None:
    """Returns the action's preview; None if it needs no confirmation. Raises Refused."""
    if action.preview is None:
        return None
    try:
        return action.preview(experiment, options)
    except SpecError as error:
        raise Refused("; ".join(map(str, error.problems))) from error


def take(action: Action, experiment: Experiment, options: Options, *, actor: str, confirmed: bool) -> str:
    """Performs an action. Returns its effect as a sentence. Raises NeedsConfirmation and Refused."""
    if not confirmed and (told := preview(action, experiment, options)) is not None:
        raise NeedsConfirmation(told)
    try:
        return action.perform(experiment, options, actor)
    except SpecError as error:
        raise Refused("; ".join(map(str, error.problems))) from error


def _state(experiment: Experiment) -> str:
    experiment.refresh_from_db()
    state = "cancelled" if experiment.cancelled_at else "paused" if experiment.paused_at else "active"
    return f"{state}, priority {experiment.priority}"


def _state_change(change: Callable[..., None]) -> Callable[[Experiment, Options, str], str]:
    def perform(experiment: Experiment, options: Options, actor: str) -> str:
        change(experiment, actor=actor)
        return _state(experiment)

    return perform


def _rank(experiment: Experiment, options: PriorityOptions, actor: str) -> str:
    try:
        control.set_priority(experiment, options.value, actor=actor)
    except ValueError as error:
        raise Refused(str(error)) from error
    return _state(experiment)


def _set_budget(experiment: Experiment, options: BudgetOptions, actor: str) -> str:
    given = options.model_dump(exclude_none=True)
    try:
        budget_control.set_budget(experiment, given, actor=actor)
    except ValueError as error:
        raise Refused(str(error)) from error
    experiment.refresh_from_db()
    lines = budget_standing(experiment).lines
    told = (f"{line.spent:.4g} of {line.limit:g} {line.name}" for line in lines if line.limit is not None)
    return f"{_state(experiment)}, budget: {', '.join(told) or 'none'}"


def _preview_retry(experiment: Experiment, options: RetryOptions) -> Preview:
    found = retry.retryable(experiment, options.selection, options.outcomes)
    count = found.count()
    return Preview(
        f"{_plural(count, 'rollout')}; each gets a new attempt. The old one stays readable and its cost counts.",
        {"rollouts": count, "estimated cost": action_costs.of_running_again(found)},
        is_empty=not count,
    )


def _retry(experiment: Experiment, options: RetryOptions, actor: str) -> str:
    count = retry.retry(experiment, options.selection, outcomes=options.outcomes, actor=actor)
    return f"{_plural(count, 'rollout')} queued again"


def _preview_rescore(experiment: Experiment, options: RescoreOptions) -> Preview:
    rescoring.check_judge(options.judge_model)
    found = rescoring.scorable(experiment, options.selection)
    count = found.count()
    calls, cost = action_costs.of_judging(found, judge_model=options.judge_model)
    return Preview(
        f"{_plural(count, 'stored answer')} to be scored again. A new reward replaces the old one, which stays in "
        "the rollout's history.",
        {"rollouts": count, "judge calls": calls, "estimated cost": cost},
        is_empty=not count,
    )


def _rescore(experiment: Experiment, options: RescoreOptions, actor: str) -> str:
    count = rescoring.rescore(experiment, options.selection, judge_model=options.judge_model, actor=actor)
    return f"{_plural(count, 'rollout')} wait to be scored again"


def _preview_run_decided(experiment: Experiment, options: Options) -> Preview:
    found = early_stopping.decided(experiment)
    count = found.count()
    return Preview(
        f"{_plural(count, 'rollout')} that early stopping left out are queued. Their arms are not ended again.",
        {"rollouts": count, "estimated cost": action_costs.of_running_again(found)},
        is_empty=not count,
    )


def _run_decided(experiment: Experiment, options: Options, actor: str) -> str:
    return f"{_plural(early_stopping.run_decided(experiment, actor=actor), 'rollout')} queued"


def _extended(experiment: Experiment, options: AddOptions) -> dict[str, Any]:
    return extended_spec(experiment, **options.model_dump())


def _preview_add(experiment: Experiment, options: AddOptions) -> Preview:
    found = additions(experiment, _extended(experiment, options))
    return Preview(
        f"{_plural(found.rollouts, 'rollout')} are added. Existing rollouts do not change.",
        {"new arms": len(found.arms), "rollouts": found.rollouts, "estimated cost": found.dollars},
        is_empty=not found.rollouts,
    )


def _add(experiment: Experiment, options: AddOptions, actor: str) -> str:
    return f"{_plural(extend(experiment, _extended(experiment, options), actor=actor), 'rollout')} added"


def _clone_of(experiment: Experiment, options: CloneOptions) -> dict[str, Any]:
    if experiment.sources:
        raise Refused("imported rollouts have no spec that could be launched")
    return {**experiment.spec, "name": options.name or experiment.spec["name"]}


def _preview_clone(experiment: Experiment, options: CloneOptions) -> Preview:
    found = estimate(resolve(_clone_of(experiment, options)))
    numbers = {"arms": len(found.arms), "rollouts": found.rollouts, "estimated cost": found.dollars}
    return Preview("Another experiment with the same spec is launched.", numbers)


def _clone(experiment: Experiment, options: CloneOptions, actor: str) -> str:
    clone = launch(_clone_of(experiment, options), actor=actor)
    return f"launched {clone.slug}"


def _preview_deletion(experiment: Experiment, options: Options) -> Preview:
    found = deletion.contents(experiment)
    return Preview(
        "The experiment leaves all pages now; workers remove its rows. This cannot be undone. Texts that other "
        "experiments use stay.",
        {
            "rollouts": found.rollouts,
            "turns": found.turns,
            "bytes of text, about": found.bytes,
            "shared links": found.shared_links,
        },
    )


def _delete(experiment: Experiment, options: Options, actor: str) -> str:
    deletion.delete(experiment, actor=actor)
    return "deleted; workers remove its rows"


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _is_unfinished(experiment: Experiment) -> bool:
    return experiment.cancelled_at is None and experiment.rollouts().unfinished().exists()


ACTIONS: Mapping[str, Action] = {
    action.name: action
    for action in (
        Action(
            "pause",
            "Pause",
            "Running rollouts finish; no new ones start.",
            Options,
            _state_change(control.pause),
            is_due=lambda found: found.paused_at is None and _is_unfinished(found),
        ),
        Action(
            "resume",
            "Resume",
            "Workers claim its rollouts again.",
            Options,
            _state_change(control.resume),
            is_due=lambda found: found.paused_at is not None,
        ),
        Action(
            "cancel",
            "Cancel",
            "Ends queued and running rollouts. Recorded data stays.",
            Options,
            _state_change(control.cancel),
            is_due=_is_unfinished,
        ),
        Action(
            "priority",
            "Priority",
            "Workers claim rollouts of the highest priority first.",
            PriorityOptions,
            _rank,
        ),
        Action(
            "budget",
            "Budget",
            "The experiment pauses at its budget and continues when it is raised. Write none for no limit.",
            BudgetOptions,
            _set_budget,
            is_due=lambda found: not found.sources,
        ),
        Action(
            "retry",
            "Retry",
            "A new attempt for rollouts that ended without a reward.",
            RetryOptions,
            _retry,
            preview=_preview_retry,
            is_due=lambda found: not found.sources and bool(retry.outcomes_of(found)),
        ),
        Action(
            "rescore",
            "Rescore",
            "Rescores stored answers with the current scoring or another judge.",
            RescoreOptions,
            _rescore,
            preview=_preview_rescore,
        ),
        Action(
            "run-decided",
            "Run the rest",
            "Runs the rollouts that early stopping cancelled. Their arms are not ended again.",
            Options,
            _run_decided,
            preview=_preview_run_decided,
            is_due=lambda found: found.cancelled_at is None and early_stopping.decided(found).exists(),
        ),
        Action(
            "add",
            "Add",
            "More arms, examples or repetitions.",
            AddOptions,
            _add,
            preview=_preview_add,
            is_due=lambda found: not found.sources and found.cancelled_at is None,
        ),
        Action(
            "clone",
            "Clone",
            "Launches another experiment with the same spec.",
            CloneOptions,
            _clone,
            preview=_preview_clone,
            is_due=lambda found: not found.sources,
        ),
        Action(
            "describe",
            "Describe",
            "Description, tags and owner, by which lists filter.",
            DescribeOptions,
            describe,
        ),
        Action(
            "archive",
            "Archive",
            "Hides the experiment from lists. Its pages stay.",
            Options,
            _state_change(control.archive),
            is_due=lambda found: found.archived_at is None,
        ),
        Action(
            "unarchive",
            "Unarchive",
            "Shows the experiment in lists again.",
            Options,
            _state_change(control.unarchive),
            is_due=lambda found: found.archived_at is not None,
        ),
        Action(
            "delete",
            "Delete",
            "Removes the experiment with all its rollouts.",
            Options,
            _delete,
            preview=_preview_deletion,
            is_destructive=True,
        ),
    )
}
"""Name → action, in the order of the pages."""
