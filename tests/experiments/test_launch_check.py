"""Models are asked before a launch: what stands in the way is told, and nothing is written."""

from __future__ import annotations

import time
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command

from rlm_runs.execution import queue
from rlm_runs.experiments import launch_check
from rlm_runs.experiments.estimate import estimate
from rlm_runs.experiments.launch import launch
from rlm_runs.experiments.launch_check import check_models
from rlm_runs.experiments.plan import resolve
from rlm_runs.models import Experiment, Rollout, Text, Trajectory, Turn
from tests.scripted_server import Reply, ScriptedServer, completion, error_body

SPEC = {
    "name": "x",
    "examples": 1,
    "models": ["m"],
    "scaffolds": ["rlm"],
    "environments": [{"name": "verbatim-copy"}],
}
JUDGED = SPEC | {"environments": [{"name": "oolong", "subset": "generated", "scoring": "judge"}]}


@pytest.fixture(autouse=True)
def no_messages(db, monkeypatch):
    monkeypatch.setattr(queue.current_app, "send_task", lambda *_, **__: None)
    monkeypatch.setenv("RLM_PROCESS_SANDBOX_MODELS", "m")


@pytest.fixture
def served(tmp_path, settings):
    """Writes the endpoints file: the models `m`, `sub` and `judge` at an address."""

    def written(url, more=""):
        path = tmp_path / "endpoints.toml"
        prices = {"m": "1", "sub": "10", "judge": "100"}
        models = ", ".join(
            f'{{ name = "{name}", price = {{ prompt = "{price}", completion = "0" }} }}'
            for name, price in prices.items()
        )
        path.write_text(f'[lab]\ntitle = "Lab"\nbase_url = "{url}"\n{more}\nmodels = [{models}]')
        settings.RLM_ENDPOINTS_FILE = path
        settings.RLM_EXTRA_MODELS = []

    return written


def without_tools(request):
    if "tools" in request:
        return Reply(400, error_body('"auto" tool choice requires --enable-auto-tool-choice'))
    return completion("yes")


def test_each_model_is_asked_once_with_tools_where_it_needs_them(served):
    with ScriptedServer(lambda _: completion("yes")) as server:
        served(server.url)
        found = check_models(resolve(JUDGED | {"sub_model": "sub", "judge_model": "judge"}))
        assert (list(found.problems), list(found.warnings)) == ([], [])
        asked = {request["model"]: "tools" in request for request in server.requests}
    assert asked == {"m": True, "sub": False, "judge": False}
    assert len(server.requests) == 3


def test_a_model_without_tools_is_told_at_its_field(served):
    with ScriptedServer(without_tools) as server:
        served(server.url)
        (problem,) = check_models(resolve(SPEC)).problems
        assert problem.field == "models[0]"
        assert "m takes no tools: HTTP 400" in problem.message
        assert "--enable-auto-tool-choice" in problem.message
        assert not check_models(resolve(SPEC | {"scaffolds": ["llm"]})).problems


def test_text_tools_need_no_tool_calling(served):
    with ScriptedServer(without_tools) as server:
        served(server.url, more='tools = "text"')
        assert not check_models(resolve(SPEC)).problems


def test_a_server_that_is_away_is_told(served):
    served("http://127.0.0.1:9/v1")
    (problem,) = check_models(resolve(SPEC)).problems
    assert problem.message.startswith("m cannot be reached")


def test_a_slow_model_is_a_warning_and_is_not_waited_for(served, monkeypatch):
    monkeypatch.setattr(launch_check, "SECONDS", 0.3)

    def script(_):
        time.sleep(6)
        return completion("yes")

    with ScriptedServer(script) as server:
        served(server.url)
        began = time.monotonic()
        found = check_models(resolve(SPEC))
        assert time.monotonic() - began < 5
    assert not found.problems or "in time" in found.problems[0].message
    assert found.warnings or found.problems


def test_the_simulated_model_is_not_asked(served):
    assert not check_models(resolve(SPEC | {"models": ["demo-model"]})).problems


def write_spec(tmp_path):
    path = tmp_path / "spec.toml"
    path.write_text(
        'name = "x"\nexamples = 1\nmodels = ["m"]\nscaffolds = ["llm"]\nenvironments = ["verbatim-copy"]\n'
    )
    return str(path)


def test_the_command_refuses_and_no_probe_launches(served, tmp_path, capsys):
    served("http://127.0.0.1:9/v1")
    with pytest.raises(CommandError, match=r"m cannot be reached(.|\n)*--no-probe launches it anyway"):
        call_command("launch", write_spec(tmp_path))
    assert not Experiment.objects.exists()
    call_command("launch", write_spec(tmp_path), no_probe=True)
    assert Experiment.objects.exists()


def test_an_estimate_has_each_models_own_price_and_the_judges_calls(served):
    served("http://127.0.0.1:9/v1")
    spec = JUDGED | {"examples": 10, "sub_model": "sub", "judge_model": "judge"}
    (arm,) = estimate(resolve(spec)).arms
    means = arm.arm.driver.published
    assert arm.judge_calls == 10
    assert "judge: assumed 900 + 100 tokens a rollout" in arm.basis
    per_rollout = round(means.main_prompt_tokens) * 1 + round(means.sub_prompt_tokens) * 10 + 900 * 100
    assert arm.dollars == Decimal(per_rollout) / 10**6 * 10
    (arm,) = estimate(resolve(spec | {"environments": [{"name": "oolong", "subset": "generated"}]})).arms
    assert (arm.judge_calls, "judge" in arm.basis) == (0, False)


def test_judged_rollouts_are_the_basis_of_the_judges_part(served):
    served("http://127.0.0.1:9/v1")
    spec = JUDGED | {"examples": 4}
    launch(spec | {"scaffolds": ["llm"]})
    text = Text.objects.first()
    for rollout in Rollout.objects.all():
        rollout.status, rollout.stop_reason = "completed", "final_message"
        rollout.save()
        judge = Trajectory.objects.create(
            rollout=rollout, attempt=1, kind="judge", model="judge", started_at=rollout.created_at
        )
        Turn.objects.create(
            trajectory=judge, index=0, content=text, prompt_tokens=500, completion_tokens=2,
            ended_at=rollout.created_at, seconds=1,
        )  # fmt: skip
    (arm,) = estimate(resolve(spec)).arms
    assert arm.basis.endswith("judge: mean of 4 judged rollouts")
    assert arm.judge_calls == 4
