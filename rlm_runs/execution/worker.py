"""The worker's part in a rollout: turns the claimed row into the engine's plan, runs it and records it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from django.conf import settings

from sandbox.contract import Backend

from ..engine.cancellation import CancellationToken
from ..engine.clients.base import Clients, ModelClient
from ..engine.clients.chat import ChatClient, Reading
from ..engine.clients.request_shape import RequestShape
from ..engine.clients.text_tools import TextToolsClient
from ..engine.engine_patience import with_engine_patience
from ..engine.environments.base import Example as EngineExample
from ..engine.environments.registry import REGISTRY
from ..engine.errors import HeldForReader, Stopped
from ..engine.events import Event, RolloutEnded
from ..engine.live import LiveBoard
from ..engine.replay import Diverged
from ..engine.rollout import RolloutPlan, run_rollout
from ..engine.rollout_context import now
from ..engine.scaffolds.registry import REGISTRY as SCAFFOLDS
from ..models import Rollout, RolloutNote, Text
from ..models.texts import escape
from ..observability.logs import bound_to
from ..observability.worker_metrics import RolloutMetrics
from . import forks, queue, sandboxes
from .continuation import Continuation, continuation_of
from .endpoints import ModelChoice, find_model
from .group_commit import GroupCommit
from .leases import LeaseKeeper
from .limits.gates import SharedGate
from .live_views import LIVE_VIEWS
from .patience import AWAY, patiently
from .prices import Prices, prices
from .recorder import ClaimLost, Recorder
from .spending.client import AccountedClient, RolloutAccount, account_of
from .spending.ledger import budget_of

logger = logging.getLogger(__name__)


COMMITS = GroupCommit()
"""Writes the events of all rollouts of this process."""


def run_claimed(rollout: Rollout, leases: LeaseKeeper) -> None:
    """Runs a claimed rollout to its end, or gives it back if it is interrupted."""
    with bound_to(rollout), leases.held(rollout) as control:
        try:
            _run(rollout, control)
        except HeldForReader:
            patiently(lambda: forks.hold(rollout))
        except Stopped:
            patiently(lambda: queue.give_back(rollout, counts=not control.was_given_back))
        except Exception:
            # The lease expires and a sweep requeues the rollout.
            logger.exception("rollout %s was left to the sweep", rollout.pk)


def _run(rollout: Rollout, control: CancellationToken) -> None:
    try:
        means, continuation = with_engine_patience(
            lambda: patiently(lambda: (_setup_for(rollout), continuation_of(rollout))),
            seconds=settings.RLM_ENGINE_PATIENCE,
            wait=control.wait,
        )
    except (*AWAY, Stopped):
        raise
    except Exception as error:
        # Its settings no longer fit the code, or there is no sandbox. Another attempt would not help.
        logger.exception("rollout %s cannot be begun", rollout.pk)
        _recording(Recorder(rollout), control, RolloutMetrics())(
            [_failed_start(f"{type(error).__name__}: {error}")]
        )
        return
    budget = budget_of(rollout.arm.experiment)
    with (
        account_of(rollout.experiment_id, budget, price=means.prices.dollars) as account,
        LIVE_VIEWS.shown(rollout) as live,
    ):
        means = replace(means, clients=_accounted(means.clients, account), live=live)
        if continuation is None:
            _play(means, Recorder(rollout), control)
        elif reason := continuation.refusal or _resume(rollout, means, continuation, control):
            _restart(rollout, means, control, reason=reason)


def _resume(rollout: Rollout, means: _Setup, continuation: Continuation, control: CancellationToken) -> str:
    """Resumes an interrupted attempt. Returns why it cannot be resumed, "" once it has ended."""
    recording = continuation.recording
    logger.info("rollout %s resumes after turn %s", rollout.pk, recording.turns)
    replay = forks.replay_of(rollout, recording) if means.is_fork else None
    means = replace(means, plan=replace(means.plan, recording=recording, replay=replay))
    try:
        _play(means, Recorder(rollout, continuation.trace), control)
    except Diverged as diverged:
        return str(diverged)
    return ""


def _restart(rollout: Rollout, means: _Setup, control: CancellationToken, *, reason: str) -> None:
    """Begins a new attempt in place of one that cannot be resumed. A fork ends, because it has no other
    beginning.
    """
    if means.is_fork:
        _recording(Recorder(rollout), control, RolloutMetrics())(
            [_failed_start(f"the fork cannot go on: {reason}")]
        )
        return
    logger.warning("rollout %s restarts: %s", rollout.pk, reason)
    rollout.attempt += 1
    recorder = Recorder(rollout)
    recorder.note(RolloutNote(kind=RolloutNote.Kind.RESTARTED, at=now(), reason=escape(reason)))
    _play(means, recorder, control)


def _play(means: _Setup, recorder: Recorder, control: CancellationToken) -> None:
    run_rollout(
        means.plan,
        clients=means.clients,
        backend=means.backend,
        record=_recording(recorder, control, RolloutMetrics(dict(means.endpoints))),
        control=control,
        price=means.prices.cost,
        engine_patience=settings.RLM_ENGINE_PATIENCE,
        live=means.live,
    )


def _recording(
    recorder: Recorder, control: CancellationToken, metrics: RolloutMetrics
) -> Callable[[Sequence[Event]], None]:
    """Returns the function that receives the engine's events. It stops a rollout that was taken over."""

    def record(events: Sequence[Event]) -> None:
        try:
            COMMITS.record(recorder, events)
        except ClaimLost as lost:
            logger.info("%s", lost)
            control.stop("interrupted")
            raise Stopped(stop_reason="interrupted") from lost
        metrics.observe(events)

    return record


def _accounted(clients: Clients, account: RolloutAccount) -> Clients:
    """Returns the clients, with their calls charged to the experiment's budget."""
    return Clients(
        main=AccountedClient(clients.main, account),
        sub=AccountedClient(clients.sub, account),
        judge=AccountedClient(clients.judge, account),
    )


@dataclass(frozen=True)
class _Setup:
    plan: RolloutPlan
    clients: Clients
    backend: Backend
    prices: Prices
    endpoints: Mapping[str, str]
    """Model → the name of its endpoint."""
    live: LiveBoard = field(default_factory=LiveBoard)
    is_fork: bool = False


def _setup_for(rollout: Rollout) -> _Setup:
    plan = plan_of(rollout)
    for model in map(model_named, plan.coders):
        sandboxes.require(model=model.name, simulated=model.simulated)
    main, sub, judge = map(model_named, (plan.model, plan.sub_model, plan.judge_model or plan.model))
    return _Setup(
        plan,
        Clients(main=client_of(main), sub=client_of(sub), judge=client_of(judge)),
        sandboxes.backend(),
        prices(),
        {choice.name: choice.endpoint.name for choice in (main, sub, judge)},
        is_fork=forks.is_fork(rollout),
    )


def _failed_start(error: str) -> RolloutEnded:
    return RolloutEnded(at=now(), stop_reason="not_begun", answer="", boundary="internal", error=error)


def plan_of(rollout: Rollout) -> RolloutPlan:
    """Returns the engine's view of a rollout: its arm's settings and its example."""
    arm = rollout.arm
    environment_type, scaffold_type = REGISTRY[arm.environment], SCAFFOLDS[arm.scaffold]
    model, sub_model = find_model(arm.model), find_model(arm.sub_model)
    return RolloutPlan(
        environment=environment_type(environment_type.settings_type(**arm.environment_settings)),
        example=example_of(rollout),
        scaffold=scaffold_type(scaffold_type.settings_type(**arm.scaffold_settings)),
        model=arm.model,
        sub_model=arm.sub_model,
        judge_model=arm.judge_model,
        window=model.window if model else None,
        sub_window=sub_model.window if sub_model else None,
        sampling=arm.sampling,
    )


def example_of(rollout: Rollout) -> EngineExample:
    """Returns the engine's view of a rollout's example."""
    row = rollout.example
    texts = Text.objects.read(key for key in (row.prompt_id, row.answer_id, row.input_data_id) if key is not None)
    return EngineExample(
        prompt=texts[row.prompt_id],
        answer=texts[row.answer_id],
        metadata=row.metadata,
        input_data=None if row.input_data_id is None else texts[row.input_data_id],
    )


def model_named(name: str) -> ModelChoice:
    """Returns a model of the endpoints file. Raises LookupError."""
    model = find_model(name)
    if model is None:
        raise LookupError(f"model {name!r} is no longer in the endpoints file")
    return model


@cache
def client_of(model: ModelChoice) -> ModelClient:
    """Returns the process's client of a model, whose connections all rollouts share."""
    calls = model.calls
    client = ChatClient(
        base_url=model.endpoint.url,
        api_key=model.endpoint.key,
        shape=RequestShape(
            calls.request, calls.extra_body, calls.max_tokens_parameter or "", stream=bool(calls.stream)
        ),
        connections=settings.RLM_MODEL_CONNECTIONS,
        gates=[SharedGate(model)],
        reading=Reading(
            window=model.window,
            think_tags=calls.think_tags or "auto",
            # The simulated model counts characters instead of tokens.
            checks_prompts=not model.simulated if calls.check_prompts is None else calls.check_prompts,
        ),
    )
    return TextToolsClient(client) if calls.tools == "text" else client
