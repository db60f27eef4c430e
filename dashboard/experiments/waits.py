"""The reasons why an experiment waits besides workers: reached budgets, and models with an open circuit."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from rlm_runs.execution.circuits import store
from rlm_runs.experiments.remaining import BudgetStanding, budget_standing
from rlm_runs.models import Arm, Circuit, Experiment


@dataclass(frozen=True)
class OpenCircuit:
    """A failing model, with the arms that wait for it."""

    circuit: Circuit
    arms: Sequence[Arm]


@dataclass(frozen=True)
class Waits:
    """The things that an experiment waits for. `budget` is None without one; `reason` says which budget it
    reached.
    """

    budget: BudgetStanding | None
    circuits: Sequence[OpenCircuit]
    reason: str


def waits_of(experiment: Experiment) -> Waits:
    """Returns what an experiment waits for now."""
    has_budget = (experiment.budget_dollars, experiment.budget_tokens, experiment.budget_hours) != (None,) * 3
    return Waits(
        budget=budget_standing(experiment) if has_budget else None,
        circuits=open_circuits(experiment),
        reason=_reason(experiment) if experiment.paused_by_budget else "",
    )


def _reason(experiment: Experiment) -> str:
    """Returns the budget that the experiment reached, from its log; "" if the log does not say."""
    last = experiment.actions.filter(action="budget reached").first()
    return str(last.details.get("budget", "")) if last else ""


def open_circuits(experiment: Experiment) -> list[OpenCircuit]:
    """Returns the failing models that the experiment's unfinished rollouts wait for."""
    circuits = store.open_circuits()
    if not circuits or not experiment.rollouts().unfinished().exists():
        return []
    waiting = store.waiting_arms(experiment, circuits)
    return [OpenCircuit(circuit, waiting[circuit.model]) for circuit in circuits if circuit.model in waiting]


def version_of(experiment: Experiment, circuits: Sequence[OpenCircuit]) -> str:
    """Returns a version that changes when the experiment starts or stops waiting for a budget or a model."""
    said = [
        experiment.paused_at,
        experiment.paused_by_budget,
        *(experiment.budget_dollars, experiment.budget_tokens, experiment.budget_hours),
        *((each.circuit.model, each.circuit.probe_at) for each in circuits),
    ]
    return hashlib.sha256(repr(said).encode()).hexdigest()[:8]
