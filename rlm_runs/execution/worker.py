"""The worker's part in a rollout: it turns the claimed row into the engine's plan, runs it and records it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from django.conf import settings

from sandbox.contract import Backend

from ..engine.cancellation import CancellationToken
from ..engine.clients.base import Clients, ModelClient
from ..engine.clients.chat import ChatClient
from ..engine.clients.gate import Gate
from ..engine.clients.request_shape import RequestShape
from ..engine.clients.text_tools import TextToolsClient
from ..engine.environments.base import Example as EngineExample
from ..engine.environments.registry import REGISTRY
from ..engine.errors import Stopped
from ..engine.events import Event, RolloutEnded
from ..engine.recording import Recording
from ..engine.replay import Diverged
from ..engine.rollout import RolloutPlan, run_rollout
from ..engine.rollout_context import now
from ..engine.scaffolds.registry import REGISTRY as SCAFFOLDS
from ..models import Rollout, RolloutNote, Text
from ..models.texts import escape
from ..observability.logs import bound_to
from ..observability.worker_metrics import RolloutMetrics
from . import queue, sandboxes
from .continuation import Continuation, continuation_of
from .endpoints import Endpoint, ModelChoice, ServedModel, find_model, prices
from .group_commit import GroupCommit
from .leases import LeaseKeeper
from .patience import AWAY, patiently
from .pricing import PriceList
from .recorder import ClaimLost, Recorder

logger = logging.getLogger(__name__)


_commits = GroupCommit()


def run_claimed(rollout: Rollout, leases: LeaseKeeper) -> None:
    """Runs a claimed rollout to its end, or gives it back if it is cut off."""
    with bound_to(rollout), leases.held(rollout) as control:
        try:
            _run(rollout, control)
        except Stopped:
            patiently(lambda: queue.give_back(rollout))
        except ClaimLost:
            logger.info("rollout %s was taken over", rollout.pk)
        except Exception:
            # The lease expires and a sweep queues the rollout again.
            logger.exception("rollout %s was left to the sweep", rollout.pk)


def _run(rollout: Rollout, control: CancellationToken) -> None:
    try:
        means, continuation = patiently(lambda: (_means_for(rollout), continuation_of(rollout)))
    except AWAY:
        raise
    except Exception as error:
        # Its settings no longer fit the code, or there is no sandbox: another attempt would not help.
        logger.exception("rollout %s cannot be begun", rollout.pk)
        ended = [_not_begun(error)]
        _commits.record(Recorder(rollout), ended)
        RolloutMetrics().observe(ended)
        return
    if continuation is None:
        _play(means, control, Recorder(rollout))
    elif reason := continuation.refusal or _resume(rollout, means, control, continuation):
        logger.warning("rollout %s starts anew: %s", rollout.pk, reason)
        rollout.attempt += 1
        recorder = Recorder(rollout)
        recorder.note(RolloutNote(kind=RolloutNote.Kind.RESTARTED, at=now(), reason=escape(reason)))
        _play(means, control, recorder)


def _resume(rollout: Rollout, means: _Means, control: CancellationToken, continuation: Continuation) -> str:
    """Goes on with an attempt that was cut off. Returns why it cannot be gone on with, "" once it has ended."""
    logger.info("rollout %s goes on after turn %s", rollout.pk, continuation.recording.turns)
    try:
        _play(means, control, Recorder(rollout, continuation.trace), recording=continuation.recording)
    except Diverged as diverged:
        return str(diverged)
    return ""


def _play(
    means: _Means,
    control: CancellationToken,
    recorder: Recorder,
    *,
    recording: Recording | None = None,
) -> None:
    metrics = RolloutMetrics(dict(means.endpoints))

    def record(events: Sequence[Event]) -> None:
        _commits.record(recorder, events)
        metrics.observe(events)

    run_rollout(
        means.plan,
        clients=means.clients,
        backend=means.backend,
        record=record,
        control=control,
        price=means.prices.cost,
        price_version=means.prices.version,
        recording=recording,
    )


@dataclass(frozen=True)
class _Means:
    plan: RolloutPlan
    clients: Clients
    backend: Backend
    prices: PriceList
    endpoints: Mapping[str, str]
    """Endpoint's name by model."""


def _means_for(rollout: Rollout) -> _Means:
    plan = plan_of(rollout)
    for model in map(_model, plan.coders):
        if refusal := sandboxes.refusal(model=model.name, simulated=model.simulated):
            raise PermissionError(refusal)
    main, sub, judge = map(_model, (plan.model, plan.sub_model, plan.judge_model or plan.model))
    return _Means(
        plan,
        Clients(main=_client(main), sub=_client(sub), judge=_client(judge)),
        sandboxes.backend(),
        prices(),
        {choice.name: choice.endpoint.name for choice in (main, sub, judge)},
    )


def _not_begun(error: Exception) -> RolloutEnded:
    return RolloutEnded(
        at=now(), stop_reason="not_begun", answer="", boundary="internal", error=f"{type(error).__name__}: {error}"
    )


def plan_of(rollout: Rollout) -> RolloutPlan:
    """The engine's view of a rollout: its arm's settings and its example."""
    arm = rollout.arm
    environment_type, scaffold_type = REGISTRY[arm.environment], SCAFFOLDS[arm.scaffold]
    model, sub_model = find_model(arm.model), find_model(arm.sub_model)
    return RolloutPlan(
        environment=environment_type(environment_type.settings_type(**arm.environment_settings)),
        example=_example_of(rollout),
        scaffold=scaffold_type(scaffold_type.settings_type(**arm.scaffold_settings)),
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


def _model(name: str) -> ModelChoice:
    model = find_model(name)
    if model is None:
        raise LookupError(f"model {name!r} is no longer in the endpoints file")
    return model


@cache
def _client(model: ModelChoice) -> ModelClient:
    """One client per model and process: its connections are shared by all rollouts."""
    calls = model.calls
    client = ChatClient(
        base_url=model.endpoint.url,
        api_key=model.endpoint.key,
        shape=RequestShape(calls.request, calls.extra_body, calls.max_tokens_parameter or ""),
        connections=settings.RLM_MODEL_CONNECTIONS,
        gates=[_gate(rate) for rate in (model.served, model.endpoint) if rate.is_limited],
    )
    return TextToolsClient(client) if calls.tools == "text" else client


@cache
def _gate(rate: ServedModel | Endpoint) -> Gate:
    """One gate per model and one per endpoint, for all rollouts of this process."""
    return Gate(concurrency=rate.concurrency, per_minute=rate.requests_per_minute)
