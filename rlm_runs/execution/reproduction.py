"""Reproduces a stored rollout: its cells run again in a fresh sandbox, against its own recording."""

from __future__ import annotations

from dataclasses import replace

from ..analysis.stored_traces import stored_trace
from ..engine.recording import Recording
from ..engine.reproduction import Reproduction, reproduce
from ..models import Rollout
from . import sandboxes
from .worker import model_named, plan_of


class CannotReproduce(Exception):
    """The rollout has nothing to run again, or the environment or sandbox for it is missing."""


def reproduce_rollout(rollout: Rollout, *, attempt: int | None = None) -> Reproduction:
    """Runs an attempt of a rollout again, by default the last one. Raises CannotReproduce and SandboxError."""
    if rollout.arm.experiment.sources:
        raise CannotReproduce("it is imported: its environment and its REPL's state are not here")
    number = rollout.attempt if attempt is None else attempt
    recording = Recording.of(stored_trace(rollout, attempt=number).events)
    if recording.root is None:
        raise CannotReproduce(f"attempt {number} has no transcript")
    plan = replace(plan_of(rollout), recording=recording)
    for model in map(model_named, plan.coders):
        sandboxes.require(model=model.name, simulated=model.simulated)
    return reproduce(plan, backend=sandboxes.backend())
