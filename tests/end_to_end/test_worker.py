"""A real worker runs experiments over both brokers, through crashes, against several servers."""

from __future__ import annotations

import json
import signal

import pytest

from rlm_runs.models import Circuit, Execution, Rollout, Text, Trajectory
from tests.scripted_server import Reply, ScriptedServer, cell, completion, error_body

SMALL = """
name = "small"
examples = 2
seed = 7
models = ["demo-model"]
scaffolds = ["llm", "rlm", "rlm_tips"]
environments = [
  "verbatim-copy",
  { name = "needle-in-haystack", lines = 60 },
  { name = "oolong", context_length_min = 3000, context_length_max = 6000 },
]
"""

FOREIGN = """
name = "foreign"
examples = 2
models = ["some-model"]
scaffolds = [{ name = "rlm", max_turns = 4 }]
environments = ["verbatim-copy"]
"""


def assert_all_is_well(system, rollouts):
    system.manage("check_store")
    assert {rollout.status for rollout in rollouts} == {Rollout.Status.COMPLETED}
    for rollout in rollouts:
        assert rollout.reward is not None
        assert rollout.main_prompt_tokens > 0
        assert rollout.cost > 0
        assert rollout.seconds > 0
    assert sum(rollout.sub_calls for rollout in rollouts if rollout.arm.scaffold == "rlm_tips") > 0
    assert {rollout.sub_calls for rollout in rollouts if rollout.arm.scaffold == "llm"} == {0}


def texts_sent_to_models():
    """The opening texts of all trajectories."""
    keys = {
        message["text"] for opening in Trajectory.objects.values_list("opening", flat=True) for message in opening
    }
    return Text.objects.read(keys).values()


def test_an_experiment_runs_over_the_filesystem_broker(make_system):
    system = make_system()
    experiment = system.launch(SMALL)
    system.start_worker()
    rollouts = system.wait_until_ended(experiment)
    assert len(rollouts) == 3 * 3 * 2
    assert_all_is_well(system, rollouts)


@pytest.mark.redis
def test_an_experiment_runs_over_redis(make_system, redis_url):
    system = make_system(CELERY_BROKER_URL=redis_url)
    system.start_worker()
    experiment = system.launch(SMALL)
    assert_all_is_well(system, system.wait_until_ended(experiment))


@pytest.mark.docker
def test_an_experiment_runs_in_docker_sandboxes(make_system):
    system = make_system(RLM_SANDBOX="docker")
    experiment = system.launch(SMALL.replace("examples = 2", "examples = 1"))
    system.start_worker()
    rollouts = system.wait_until_ended(experiment)
    assert_all_is_well(system, rollouts)
    assert {rollout.sandbox_backend for rollout in rollouts if rollout.arm.scaffold != "llm"} == {"docker"}


def test_no_gold_answer_is_ever_sent_to_a_model(make_system):
    """The needles stand apart in the haystack, never together as in the gold answer."""
    system = make_system()
    experiment = system.launch(SMALL)
    system.start_worker()
    rollouts = system.wait_until_ended(experiment)
    golds = {
        Text.objects.get(pk=r.example.answer_id).text for r in rollouts if r.arm.environment != "verbatim-copy"
    }
    long_golds = {gold for gold in golds if len(gold) > 12}
    assert long_golds
    for text in texts_sent_to_models():
        assert not [gold for gold in long_golds if gold in text]


WAITS = """
import pathlib, time
while not pathlib.Path({flag!r}).exists():
    time.sleep(0.1)
"""


def waiting_then_done(flag):
    """A script whose first cell waits for a file."""

    def script(request):
        if len(request["messages"]) == 2:
            return cell(WAITS.format(flag=str(flag)))
        return cell('answer["content"] = "x"; answer["ready"] = True')

    return script


def test_a_killed_worker_loses_nothing(make_system, tmp_path):
    flag = tmp_path / "go on"
    with ScriptedServer(waiting_then_done(flag)) as server:
        system = make_system(
            OPENAI_BASE_URL=server.url, RLM_EXTRA_MODELS="some-model", RLM_PROCESS_SANDBOX_MODELS="some-model"
        )
        experiment = system.launch(FOREIGN, "--no-probe")
        worker = system.start_worker(concurrency=2)
        system.wait_for(lambda: Execution.objects.filter(finished=False).count() == 2)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        flag.touch()
        system.start_worker(concurrency=2)
        rollouts = system.wait_until_ended(experiment)
        calls = len(server.requests)
    # The turn was paid for: its cell runs again, in the same attempt.
    assert [(r.status, r.attempt, r.claims, r.turns) for r in rollouts] == [("completed", 1, 2, 2)] * 2
    assert calls == 4
    assert not Execution.objects.filter(finished=False).exists()
    system.manage("check_store")


def test_a_worker_that_is_told_to_stop_gives_its_rollouts_back_at_once(make_system, tmp_path):
    flag = tmp_path / "go on"
    with ScriptedServer(waiting_then_done(flag)) as server:
        system = make_system(
            OPENAI_BASE_URL=server.url,
            RLM_EXTRA_MODELS="some-model",
            RLM_PROCESS_SANDBOX_MODELS="some-model",
            RLM_LEASE_SECONDS="600",
        )
        experiment = system.launch(FOREIGN, "--no-probe")
        worker = system.start_worker(concurrency=2)
        system.wait_for(lambda: Execution.objects.filter(finished=False).count() == 2)
        worker.send_signal(signal.SIGTERM)
        worker.wait(timeout=20)
        assert {r.status for r in experiment.rollouts()} == {Rollout.Status.QUEUED}
        flag.touch()
        system.start_worker(concurrency=2)
        rollouts = system.wait_until_ended(experiment)
        calls = len(server.requests)
    assert {(r.status, r.attempt, r.claims) for r in rollouts} == {("completed", 1, 2)}
    assert calls == 4


ENDPOINTS = """
[some]
title = "Some server"
base_url = "{url}"
circuit = {{ enabled = false }}
models = {models}
"""
BAD_MODELS = {
    "wrong-key": (
        Reply(401, error_body("Incorrect API key provided")),
        "failed",
        "model_error",
        "Incorrect API key",
    ),
    "garbage": (Reply(200, "<html>"), "failed", "bad_completion", "not JSON"),
    "too-long": (
        Reply(400, error_body("over the window", code="context_length_exceeded")),
        "failed",
        "prompt_too_long",
        "over the window",
    ),
    "talker": (completion("I would rather talk."), "completed", "no_tool_call", ""),
    "lost": (completion(calls=[("search", {})]), "completed", "max_turns", ""),
    "stammerer": (completion(calls=[("call_python_repl", "{not json")]), "completed", "max_turns", ""),
    "good": (cell('answer["content"] = "x"; answer["ready"] = True'), "completed", "answer_ready", ""),
}


def test_bad_models_are_data_and_the_experiment_goes_on(make_system, tmp_path):
    names = ",".join(BAD_MODELS)
    endpoints = tmp_path / "endpoints.toml"
    with ScriptedServer(lambda request: BAD_MODELS[request["model"]][0]) as server:
        models = ", ".join(f'{{ name = "{name}" }}' for name in BAD_MODELS)
        endpoints.write_text(ENDPOINTS.format(url=server.url, models=f"[{models}]"))
        system = make_system(RLM_ENDPOINTS_FILE=str(endpoints), RLM_PROCESS_SANDBOX_MODELS=names)
        spec = FOREIGN.replace('["some-model"]', json.dumps(list(BAD_MODELS)))
        experiment = system.launch(spec, "--no-probe")
        system.start_worker()
        rollouts = system.wait_until_ended(experiment)
    assert len(rollouts) == 2 * len(BAD_MODELS)
    for rollout in rollouts:
        _, status, stop_reason, said = BAD_MODELS[rollout.arm.model]
        assert (rollout.arm.model, rollout.status, rollout.stop_reason) == (rollout.arm.model, status, stop_reason)
        assert said in rollout.error
    system.manage("check_store")


def test_rollouts_of_an_endpoint_that_is_down_wait_and_its_address_is_told(make_system, free_port):
    system = make_system(
        OPENAI_BASE_URL=f"http://127.0.0.1:{free_port}/v1",
        RLM_EXTRA_MODELS="some-model",
        RLM_PROCESS_SANDBOX_MODELS="some-model",
    )
    experiment = system.launch(FOREIGN.replace("examples = 2", "examples = 1"))
    system.start_worker()
    is_open = Circuit.objects.filter(model="some-model", opened_at__isnull=False)
    system.wait_for(is_open.exists)
    assert "cannot be reached" in is_open.get().error
    assert f"127.0.0.1:{free_port}" in is_open.get().error
    # A rollout waits half a minute for a circuit, and checks it after the pause of a retry at the latest.
    system.wait_for(lambda: experiment.rollouts().filter(status="queued").exists(), seconds=180)
    assert experiment.rollouts().get().error == ""


def test_a_real_model_does_not_get_the_process_sandbox_unasked(make_system):
    system = make_system(OPENAI_BASE_URL="http://127.0.0.1:1/v1", RLM_EXTRA_MODELS="some-model")
    with pytest.raises(AssertionError, match="RLM_PROCESS_SANDBOX_MODELS=some-model"):
        system.launch(FOREIGN)
    assert not Rollout.objects.exists()


def test_math_python_runs_on_questions_of_a_file(make_system, tmp_path):
    questions = tmp_path / "questions.jsonl"
    questions.write_text(
        json.dumps({"question": "What is 6 * 7?", "answer": "Six sevens.\n#### 42"})
        + "\n"
        + json.dumps({"question": "What is 1/2 + 1/3?", "answer": "#### 5/6"})
        + "\n"
    )
    answers = {"6 * 7": "42", "1/2 + 1/3": "\\frac{5}{6}"}

    def script(request):
        prompt = str(request["messages"])
        answer = next(answer for question, answer in answers.items() if question in prompt)
        if request["messages"][-1]["role"] != "tool":
            name = request["tools"][0]["function"]["name"]
            code = "import sympy, scipy, numpy; print(sympy.Rational(5, 6))"
            code += f"\ntry:\n    answer['content'] = {answer!r}; answer['ready'] = True\nexcept NameError: pass"
            return completion(calls=[(name, {"code": code})])
        return completion(f"It is \\boxed{{{answer}}}.")

    with ScriptedServer(script) as server:
        system = make_system(
            OPENAI_BASE_URL=server.url, RLM_EXTRA_MODELS="some-model", RLM_PROCESS_SANDBOX_MODELS="some-model"
        )
        experiment = system.launch(f"""
name = "maths"
examples = 2
models = ["some-model"]
scaffolds = ["llm", "rlm", "rlm_tips"]
environments = [{{ name = "math-python", path = "{questions}" }}]
""")
        system.start_worker()
        rollouts = system.wait_until_ended(experiment)
    assert [r.reward for r in rollouts] == [1.0] * 6
    assert {r.cells for r in rollouts} == {1}


def test_every_preset_runs_on_generated_data(make_system):
    system = make_system()
    presets = sorted(path.stem for path in (system.root / "specs/presets").glob("*.toml"))
    experiments = [
        system.launch_by("--preset", preset, "--model", "demo-model", "--examples", "1", "--offline")
        for preset in presets
    ]
    system.start_worker(concurrency=8)
    for experiment in experiments:
        rollouts = system.wait_until_ended(experiment, seconds=300)
        reasons = {rollout.stop_reason for rollout in rollouts if rollout.status != Rollout.Status.COMPLETED}
        assert reasons <= {"prompt_too_long"}, experiment.name
    system.manage("check_store")
