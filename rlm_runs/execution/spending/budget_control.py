"""Pausing an experiment that reached its budget, and changing a budget."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from ...models import Experiment
from .. import queue
from ..arm_models import unpriced_models
from ..experiment_log import COMMAND_LINE, WORKER, record_action
from . import ledger
from .amounts import NOTHING, Amount

FIELDS = ("dollars", "tokens", "hours")


def pause_at_budget(experiment: int, why: str) -> None:
    """Pauses an experiment whose budget has no room for the next call. `why` names the budget."""
    with transaction.atomic():
        changed = Experiment.objects.filter(pk=experiment, paused_at=None, cancelled_at=None).update(
            paused_at=Now(), paused_by_budget=True
        )
        if changed:
            record_action(experiment, action="budget reached", actor=WORKER, details={"budget": why})


def reached(standing: ledger.Standing, *, next_call: Amount = NOTHING) -> str:
    """Returns a description of the budget that has no room for a call; "" if all have room."""
    budget, spent = standing.budget, standing.spent
    if standing.is_out_of_time and budget.seconds is not None:
        return f"{standing.seconds / 3600:.2f} of {budget.seconds / 3600:g} hours ran"
    if budget.dollars is not None and (
        spent.dollars + next_call.dollars > budget.dollars or spent.dollars >= budget.dollars
    ):
        return f"${spent.dollars:.4f} of ${budget.dollars:.2f} spent" + _next(
            f"${next_call.dollars:.4f}", next_call
        )
    if budget.tokens is not None and (
        spent.tokens + next_call.tokens > budget.tokens or spent.tokens >= budget.tokens
    ):
        return f"{spent.tokens:,} of {budget.tokens:,} tokens used" + _next(f"{next_call.tokens:,}", next_call)
    return ""


def _next(words: str, call: Amount) -> str:
    return f"; the next call is estimated at {words}" if call != NOTHING else ""


def look_at_time(*, gap: float) -> None:
    """Counts the time of running experiments, and pauses those that are out of time."""
    for experiment in ledger.count_time(gap=gap):
        standing = ledger.standing(experiment)
        if standing.is_out_of_time:
            pause_at_budget(experiment, reached(standing))


def checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns validated budgets by name, as column values. None means no limit. Raises ValueError."""
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name not in FIELDS:
            raise ValueError(f"there is no budget {name!r}; there are {', '.join(FIELDS)}")
        if value is None or str(value).strip().lower() in ("", "none"):
            values[name] = None
            continue
        try:
            number = Decimal(str(value).strip())
        except ArithmeticError:
            raise ValueError(f"{name} must be a number, not {value!r}") from None
        if not number.is_finite() or number <= 0 or number >= 10**8 * (10**7 if name == "tokens" else 1):
            raise ValueError(f"{name} must be a number above 0, not {value!r}")
        if name == "tokens" and number != int(number):
            raise ValueError(f"tokens must be a whole number, not {value!r}")
        values[name] = {"dollars": number, "tokens": int(number), "hours": float(number)}[name]
    return values


def set_budget(experiment: Experiment, given: Mapping[str, Any], *, actor: str = COMMAND_LINE) -> None:
    """Sets budgets by name, and resumes the experiment unless another budget is reached. Raises ValueError."""
    values = checked(given)
    if values.get("dollars") is not None and (unpriced := unpriced_models(experiment)):
        raise ValueError(f"a dollar budget cannot be enforced: {', '.join(unpriced)} has no price")
    with transaction.atomic():
        found = Experiment.objects.select_for_update(no_key=True).get(pk=experiment.pk)
        before = {name: getattr(found, f"budget_{name}") for name in values}
        for name, value in values.items():
            setattr(found, f"budget_{name}", value)
        found.save(update_fields=[f"budget_{name}" for name in values])
        changes = {name: _limit_text(value) for name, value in values.items() if value != before[name]}
        if changes:
            record_action(found, action="budget set", actor=actor, details=changes)
        resumes = found.paused_by_budget and found.paused_at and not reached(ledger.standing(found.pk))
        if resumes:
            Experiment.objects.filter(pk=found.pk).update(paused_at=None, paused_by_budget=False)
            record_action(found, action="resumed", actor=actor, details={"reason": "budget raised"})
    if resumes:
        queue.notify_workers()


def _limit_text(value: Any) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
