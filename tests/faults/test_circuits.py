"""A model that fails all calls: its arms wait, no rollout fails, and work resumes automatically."""

from __future__ import annotations

import time

import pytest

from rlm_runs.models import Circuit, ExperimentAction, Rollout
from tests.scripted_server import Reply, ScriptedServer, cell, completion, error_body

ENDPOINTS = """
[one]
title = "One"
base_url = "{url}"
circuit = {{ in_a_row = 3, for_seconds = 1, first_wait = 1, longest_wait = 4 }}
models = [{{ name = "sick" }}, {{ name = "well" }}]
"""
SPEC = """
name = "circuit"
examples = {examples}
models = {models}
scaffolds = ["rlm"]
environments = ["verbatim-copy"]
"""
DONE = cell('answer["content"] = "x"; answer["ready"] = True')


@pytest.fixture
def start(make_system, tmp_path):
    def start(server):
        path = tmp_path / "endpoints.toml"
        path.write_text(ENDPOINTS.format(url=server.url))
        return make_system(RLM_ENDPOINTS_FILE=str(path), RLM_PROCESS_SANDBOX_MODELS="sick,well")

    return start


@pytest.mark.parametrize("status", [404, 503])
def test_arms_of_a_model_that_is_away_wait_and_go_on_by_themselves(start, status):
    state = {"away": True}

    def script(request):
        time.sleep(0.05)
        if request["model"] == "sick" and state["away"]:
            return Reply(status, error_body("away"))
        return DONE

    with ScriptedServer(script) as server:
        system = start(server)
        experiment = system.launch(SPEC.format(examples=6, models='["sick", "well"]'), "--no-probe")
        system.start_worker(concurrency=3)
        system.start_worker(concurrency=3)
        well = experiment.rollouts().filter(arm__model="well")
        system.wait_for(
            lambda: not well.unfinished().exists() and Circuit.objects.filter(opened_at__isnull=False).exists()
        )
        time.sleep(3)
        tries = len(server.requests)
        time.sleep(3)
        assert len(server.requests) - tries <= 4  # probes only
        assert not experiment.rollouts().filter(status="failed").exists()
        state["away"] = False
        rollouts = system.wait_until_ended(experiment)
    assert {rollout.status for rollout in rollouts} == {Rollout.Status.COMPLETED}
    assert not Circuit.objects.filter(opened_at__isnull=False).exists()
    said = ExperimentAction.objects.filter(experiment=experiment).order_by("id").values_list("action", flat=True)
    assert list(said)[1:] == ["circuit opened", "circuit closed"]


def test_a_failure_of_one_prompt_opens_nothing(start):
    def script(request):
        time.sleep(0.02)
        if len(request["messages"]) > 2:
            return completion("x")
        return Reply(400, error_body("this prompt is refused")) if len(server.requests) % 3 == 0 else DONE

    with ScriptedServer(script) as server:
        system = start(server)
        experiment = system.launch(SPEC.format(examples=12, models='["sick"]'), "--no-probe")
        system.start_worker(concurrency=3)
        rollouts = system.wait_until_ended(experiment)
    assert {rollout.status for rollout in rollouts} == {Rollout.Status.COMPLETED, Rollout.Status.FAILED}
    assert {r.stop_reason for r in rollouts if r.status == Rollout.Status.FAILED} == {"model_error"}
    assert not Circuit.objects.filter(opened_at__isnull=False).exists()
