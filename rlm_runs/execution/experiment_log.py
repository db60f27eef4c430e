"""The log of an experiment: who did what to it, and when."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from ..models import Experiment, ExperimentAction
from ..models.texts import storable

logger = logging.getLogger(__name__)

COMMAND_LINE = "command line"
"""The actor of `manage.py` commands."""
WORKER = "worker"
"""The actor of a worker's own actions: a circuit opens, a budget is reached, a deletion ends."""


def record_action(
    experiment: Experiment | int, *, action: str, actor: str, details: Mapping[str, Any] | None = None
) -> ExperimentAction:
    """Records an action in the log of an experiment, given as an object or by its id.

    `action` is a verb in the past tense, such as `paused`. `actor` is a user's name, COMMAND_LINE or WORKER.
    `details` are JSON values by name. Call it in the transaction of the action.
    """
    key = experiment if isinstance(experiment, int) else experiment.pk
    told = storable(dict(details or {}))
    found = ExperimentAction.objects.create(
        experiment_id=key, action=storable(action)[:40], actor=storable(actor)[:150], details=told
    )
    logger.info("experiment %s: %s by %s %s", key, action, actor, told or "")
    return found
