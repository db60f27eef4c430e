"""What an experiment waits for besides workers: budgets that it reached, and models with an open circuit."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from rlm_runs.execution.circuits import store
from rlm_runs.experiments.remaining import BudgetStanding, budget_standing
from rlm_runs.models import Arm, Circuit, Experiment


@dataclass(frozen=True)
class OpenCircuit:
    """A model that fails, with the arms that wait for it."""

    circuit: Circuit
    arms: Sequence[Arm]


@dataclass(frozen=True)
class Waits:
    """What an experiment waits for. `budget` is None where it has none; `reason` says which one it reached."""

    budget: BudgetStanding | None
    circuits: Sequence[OpenCircuit]
    reason: str


def waits_of(experiment: Experiment) -> Waits:
    """What an experiment waits for now."""
    has_budget = (experiment.budget_dollars, experiment.budget_tokens, experiment.budget_hours) != (None,) * 3
    return Waits(
        budget=budget_standing(experiment) if has_budget else None,
        circuits=open_circuits(experiment),
        reason=_reason(experiment) if experiment.paused_by_budget else "",
    )


def _reason(experiment: Experiment) -> str:
    """The budget that it reached, as its log says."""
    last = experiment.actions.filter(action="budget reached").first()
    return str(last.details.get("budget", "")) if last else ""


def open_circuits(experiment: Experiment) -> list[OpenCircuit]:
    """The models that its unfinished rollouts wait for."""
    circuits = store.open_circuits()
    if not circuits or not experiment.rollouts().unfinished().exists():
        return []
    waiting = store.waiting_arms(experiment, circuits)
    return [OpenCircuit(circuit, waiting[circuit.model]) for circuit in circuits if circuit.model in waiting]


def version_of(experiment: Experiment, circuits: Sequence[OpenCircuit]) -> str:
    """Changes when the experiment starts or stops waiting for a budget or a model."""
    said = [
        experiment.paused_at,
        experiment.paused_by_budget,
        *(experiment.budget_dollars, experiment.budget_tokens, experiment.budget_hours),
        *((each.circuit.model, each.circuit.probe_at) for each in circuits),
    ]
    return hashlib.sha256(repr(said).encode()).hexdigest()[:8]
