"""What a worker does with one rollout id: claims the row, makes the engine's plan of it, runs and records it."""

from __future__ import annotations

import logging
from functools import cache

from sandbox.contract import Backend

from . import claims, sandboxes
from .endpoints import Endpoint, find_model
from .engine.clients.base import Clients
from .engine.clients.chat import ChatClient
from .engine.environments.base import Example as EngineExample
from .engine.environments.registry import REGISTRY
from .engine.errors import Stopped
from .engine.events import RolloutEnded
from .engine.rollout import RolloutPlan, run_rollout
from .engine.run import now
from .engine.scaffolds.settings import SETTINGS
from .models import Rollout, Text
from .pricing import price_list
from .recorder import ClaimLost, Recorder

logger = logging.getLogger(__name__)


def run_claimed(rollout_id: int) -> None:
    """Claims a rollout and runs it to its end; does nothing where another worker has it."""
    rollout = claims.claim(rollout_id)
    if rollout is None:
        return
    recorder = Recorder(rollout)
    with claims.Lease(rollout) as control:
        try:
            plan, clients, backend = _means_for(rollout)
        except Exception as error:
            # Its settings no longer fit the code, or there is no sandbox: another attempt would not help.
            logger.exception("rollout %s cannot be begun", rollout_id)
            recorder.record(_not_begun(error))
            return
        try:
            run_rollout(
                plan,
                clients=clients,
                backend=backend,
                record=recorder.record,
                control=control,
                price=price_list().cost,
                price_version=price_list().version,
            )
        except Stopped:
            claims.give_back(rollout)
        except ClaimLost:
            logger.info("rollout %s was taken over", rollout_id)


def _means_for(rollout: Rollout) -> tuple[RolloutPlan, Clients, Backend]:
    arm = rollout.arm
    plan = plan_of(rollout)
    backend = sandboxes.backend()
    refusal = sandboxes.refusal(model=arm.model, simulated=arm.simulated) if plan.needs_sandbox else ""
    if refusal:
        raise PermissionError(refusal)
    client = _client(_endpoint_of(rollout))
    return plan, Clients(main=client, sub=client, judge=client), backend


def _not_begun(error: Exception) -> RolloutEnded:
    return RolloutEnded(
        at=now(), stop_reason="not_begun", answer="", boundary="internal", error=f"{type(error).__name__}: {error}"
    )


def plan_of(rollout: Rollout) -> RolloutPlan:
    """The engine's view of a rollout: its arm's settings and its example."""
    arm = rollout.arm
    environment_type = REGISTRY[arm.environment]
    model, sub_model = find_model(arm.model), find_model(arm.sub_model)
    return RolloutPlan(
        environment=environment_type(environment_type.settings_type(**arm.environment_settings)),
        example=_example_of(rollout),
        scaffold_settings=SETTINGS[arm.scaffold](**arm.scaffold_settings),
        model=arm.model,
        sub_model=arm.sub_model,
        judge_model=arm.judge_model,
        window=model.window if model else None,
        sub_window=sub_model.window if sub_model else None,
        sampling=arm.sampling,
    )


def _example_of(rollout: Rollout) -> EngineExample:
    row = rollout.example
    texts = Text.objects.read(key for key in (row.prompt_id, row.answer_id, row.input_data_id) if key is not None)
    return EngineExample(
        prompt=texts[row.prompt_id],
        answer=texts[row.answer_id],
        metadata=row.metadata,
        input_data=None if row.input_data_id is None else texts[row.input_data_id],
    )


def _endpoint_of(rollout: Rollout) -> Endpoint:
    model = find_model(rollout.arm.model)
    if model is None:
        raise LookupError(f"model {rollout.arm.model!r} is no longer in the endpoints file")
    return model.endpoint


@cache
def _client(endpoint: Endpoint) -> ChatClient:
    """One client per endpoint and process: its connections are shared by all rollouts."""
    return ChatClient(base_url=endpoint.url, api_key=endpoint.key)
