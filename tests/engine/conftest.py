"""A rollout played by a scripted model over real HTTP, with a real REPL in a process sandbox."""

from __future__ import annotations

from decimal import Decimal

import pytest

from rlm_runs.engine.cancellation import CancellationToken
from rlm_runs.engine.clients.base import Clients
from rlm_runs.engine.clients.chat import ChatClient, RetryPolicy
from rlm_runs.engine.clients.request_shape import RequestShape
from rlm_runs.engine.clients.text_tools import TextToolsClient
from rlm_runs.engine.environments.base import Settings
from rlm_runs.engine.events import Cost
from rlm_runs.engine.rollout import RolloutPlan, run_rollout
from rlm_runs.engine.scaffolds import registry
from rlm_runs.engine.scaffolds.rlm_settings import RlmSettings
from sandbox.process_backend import ProcessBackend
from sandbox.settings import SandboxSettings
from tests.engine.riddle import EXAMPLE, Riddle
from tests.scripted_server import ScriptedServer


@pytest.fixture(scope="module")
def backend(tmp_path_factory):
    backend = ProcessBackend(SandboxSettings(pool_size=0, state_dir=tmp_path_factory.mktemp("sandbox")))
    yield backend
    backend.close()


@pytest.fixture
def play(backend):
    """Runs a rollout of a scripted model and returns its events."""

    def run(script, *, settings=None, environment=None, control=None, price=None, **more):
        """`more`: `window`, `record`, `recording`, `stream`, `live`; `text_tools` for a model without tools."""
        told = []
        with ScriptedServer(script) as server:
            client = ChatClient(
                base_url=server.url,
                api_key="",
                retry=RetryPolicy(tries=2, first_wait=0.01),
                timeout=30,
                shape=RequestShape(stream=more.get("stream", False)),
            )
            reached = TextToolsClient(client) if more.get("text_tools") else client
            try:
                run_rollout(
                    RolloutPlan(
                        environment=environment or Riddle(Settings()),
                        example=EXAMPLE,
                        scaffold=registry.of_settings(settings or RlmSettings()),
                        model="m",
                        sub_model="m",
                        window=more.get("window"),
                        recording=more.get("recording"),
                    ),
                    clients=Clients(main=reached, sub=reached, judge=client),
                    backend=backend,
                    record=more.get("record", told.extend),
                    control=control or CancellationToken(),
                    live=more.get("live"),
                    price=_priced(price or (lambda model, usage: Decimal("0.001"))),
                )
            finally:
                client.close()
                run.requests = server.requests
                run.disconnects = server.disconnects
        return told

    return run


def _priced(price):
    """A price list of the engine that asks this function of (model, usage) for dollars."""

    def cost(model, usage, at):
        dollars = price(model, usage)
        return None if dollars is None else Cost(dollars, "test")

    return cost
