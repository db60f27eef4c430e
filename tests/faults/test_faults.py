"""Faults of the parts around a worker: every rollout ends once, and nothing that was paid for is asked again."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections import Counter

import pytest

from rlm_runs.models import Execution, Rollout, Turn
from tests.scripted_server import ScriptedServer, cell, completion

DONE = cell('answer["content"] = "x"; answer["ready"] = True')
SPEC = """
name = "faults"
examples = {examples}
models = ["some-model"]
scaffolds = [{{ name = "{scaffold}" }}]
environments = [{environment}]
"""


def spec(*, examples=2, scaffold="rlm", environment='"verbatim-copy"'):
    return SPEC.format(examples=examples, scaffold=scaffold, environment=environment)


def test_a_worker_that_stops_while_a_judge_is_asked_leaves_the_scoring_to_the_next(make_system):
    state = {"judge": 0}

    def script(request):
        if "ground truth" not in str(request["messages"]).lower():
            return completion("Answer: x")
        state["judge"] += 1
        if state["judge"] == 1:
            time.sleep(3)
        return completion("yes")

    with ScriptedServer(script) as server:
        system = make_system(
            OPENAI_BASE_URL=server.url, RLM_EXTRA_MODELS="some-model", RLM_PROCESS_SANDBOX_MODELS="some-model"
        )
        experiment = system.launch(spec(examples=1, scaffold="llm", environment='"deepdive"'))
        worker = system.start_worker(concurrency=1)
        system.wait_for(lambda: state["judge"] == 1)
        worker.send_signal(signal.SIGTERM)
        worker.wait(timeout=30)
        system.start_worker(concurrency=1)
        (rollout,) = system.wait_until_ended(experiment)
    assert (rollout.status, rollout.reward, rollout.error) == (Rollout.Status.COMPLETED, 1.0, "")


def test_the_rollouts_of_a_killed_worker_are_taken_up_before_their_leases_expire(make_system):
    state = {"killed": False}

    def script(request):
        return DONE if state["killed"] else cell("import time; time.sleep(60)")

    with ScriptedServer(script) as server:
        system = make_system(
            OPENAI_BASE_URL=server.url,
            RLM_EXTRA_MODELS="some-model",
            RLM_PROCESS_SANDBOX_MODELS="some-model",
            RLM_LEASE_SECONDS="600",
            RLM_SWEEP_SECONDS="2",
        )
        experiment = system.launch(spec())
        first = system.start_worker(concurrency=1)
        system.start_worker(concurrency=1)
        system.wait_for(lambda: Execution.objects.filter(finished=False).count() == 2)
        state["killed"] = True
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        killed = [r for r in experiment.rollouts() if r.worker.endswith(f":{first.pid}")]
        assert len(killed) == 1
        system.wait_for(
            lambda: (
                Rollout.objects.get(pk=killed[0].pk).status != Rollout.Status.RUNNING
                or Rollout.objects.get(pk=killed[0].pk).claims == 2
            ),
            seconds=40,
        )


@pytest.mark.redis
def test_a_broker_that_goes_away_stops_nothing(make_system, tmp_path):
    """The broker is ended in the middle, and never comes back."""
    socket = tmp_path / "broker.sock"
    command = [
        shutil.which("redis-server") or "redis-server",
        "--port",
        "0",
        "--unixsocket",
        str(socket),
        "--save",
        "",
    ]
    broker = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
    try:
        system = make_system(CELERY_BROKER_URL=f"redis+socket://{socket}")
        system.wait_for(socket.exists)
        experiment = system.launch(spec(examples=20).replace("some-model", "demo-model"))
        worker = system.start_worker(concurrency=2)
        system.wait_for(lambda: Turn.objects.count() > 5)
        broker.kill()
        broker.wait()
        rollouts = system.wait_until_ended(experiment)
        assert worker.poll() is None
    finally:
        broker.kill()
        broker.wait()
    assert Counter((rollout.status, rollout.attempt) for rollout in rollouts) == {("completed", 1): 20}
    assert not re.search("Traceback", system.log("worker").split("Connection to broker lost")[0])
