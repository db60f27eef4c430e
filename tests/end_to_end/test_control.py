"""Control with a real worker: cancelling ends what runs within 3 s; it retries, scores again and deletes."""

from __future__ import annotations

import time

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from rlm_runs.execution import deletion
from rlm_runs.execution.rescoring import rescore
from rlm_runs.execution.retry import retry
from rlm_runs.execution.selection import Selection
from rlm_runs.models import Attempt, Execution, Experiment, Rescoring, Rollout, Text, Trajectory, Turn
from tests.scripted_server import Held, Reply, ScriptedServer, cell, completion, error_body

FOREVER = Held(600)
ENVIRONMENT = """
from __future__ import annotations
import time
from rlm_runs.engine.environments.base import Environment, Example, Score, Settings, Tool


class HangingSettings(Settings):
    pass


class Hanging(Environment[HangingSettings]):
    name = "hanging"
    title = "Hanging"
    description = "A tool that hangs, and a judge."
    settings_type = HangingSettings

    def load(self, *, n, seed):
        return [Example(prompt=f"task {number}", answer="gold") for number in range(n)]

    def score(self, example, answer):
        return Score(reward=0.0)

    def judge_prompt(self, example, answer):
        return f"Is {answer!r} right?"

    def tools(self):
        schema = {"type": "object", "properties": {}}
        return [Tool("hang", "Hangs.", schema, lambda: time.sleep(600) or "late")]
"""
SPEC = """
name = "hangs"
examples = 1
models = ["waits", "cell", "batch"]
sub_model = "sub"
judge_model = "judge"
scaffolds = ["llm", "rlm"]
environments = ["hanging"]
"""
MODELS = "waits,cell,batch,sub,judge"
JUDGED = """
name = "judged"
examples = 3
models = ["some-model"]
judge_model = "judge"
scaffolds = ["llm"]
environments = ["hanging"]
"""
BUSY = "print('began', flush=True)\nwhile True: pass"
BATCH = "llm_batch(['one', 'two', 'three', 'four'])"


def hangs(request):
    """Each rollout hangs in another place: its model, a tool, a judge, a cell, a batch."""
    model = request["model"]
    is_rlm = any(tool["function"]["name"] == "call_python_repl" for tool in request.get("tools", ()))
    if model == "cell":
        return cell(BUSY) if is_rlm else completion("an answer for the judge")
    if model == "batch":
        return cell(BATCH) if is_rlm else completion(calls=[("hang", {})])
    return FOREVER


@pytest.fixture
def make_lab(make_system, tmp_path):
    """A system with an environment that hangs."""
    folder = tmp_path / "environments"
    folder.mkdir()
    (folder / "hanging.py").write_text(ENVIRONMENT)

    def make(server, **variables):
        return make_system(
            OPENAI_BASE_URL=server.url,
            RLM_EXTRA_MODELS=f"{MODELS},some-model",
            RLM_PROCESS_SANDBOX_MODELS=f"{MODELS},some-model",
            RLM_ENVIRONMENTS_DIR=str(folder),
            **variables,
        )

    return make


@pytest.fixture
def reader(client, transactional_db):
    client.force_login(User.objects.create(username="ada"))
    return client


def all_hang():
    """Whether each of the six rollouts has reached the place in which it hangs."""
    running = Execution.objects.filter(finished=False)
    return (
        running.filter(kind="tool").exists()
        and running.filter(kind="cell").count() == 2
        and Trajectory.objects.filter(kind="sub").count() == 4
        and Trajectory.objects.filter(kind="judge").exists()
        and Trajectory.objects.filter(kind="root").count() == 6
    )


@pytest.mark.parametrize("backend", ["process", pytest.param("docker", marks=pytest.mark.docker)])
def test_a_click_on_cancel_ends_cells_batches_tools_judges_and_calls_within_three_seconds(
    make_lab, reader, backend
):
    with ScriptedServer(hangs) as server:
        system = make_lab(server, RLM_SANDBOX=backend)
        experiment = system.launch(SPEC)
        system.start_worker(concurrency=8)
        system.wait_for(all_hang, seconds=120)
        reader.get(experiment.get_absolute_url())  # the first page of a process takes its time
        time.sleep(1)  # the cell that is busy, is
        turns, gone = Turn.objects.count(), len(server.disconnects)  # a launch probes the models
        clicked = time.monotonic()
        assert reader.post(reverse("experiment-cancel", args=[experiment.slug])).status_code == 302
        rollouts = system.wait_until_ended(experiment, seconds=20)
        seconds = time.monotonic() - clicked
        print(f"cancelled within {seconds:.2f} s ({backend})")
        assert seconds < 15, system.log("worker")[-6000:]
        until = time.monotonic() + 15
        while len(server.disconnects) < gone + 7 and time.monotonic() < until:  # 2 roots, 4 sub-LLMs, 1 judge
            time.sleep(0.05)
        assert len(server.disconnects) == gone + 7
    assert {(each.status, each.stop_reason) for each in rollouts} == {("cancelled", "cancelled")}
    assert Turn.objects.count() >= turns
    assert "began" in "".join(Text.objects.values_list("body", flat=True))
    assert experiment.actions.first().details == {"running": 6}
    system.manage("check_store")


def test_failed_rollouts_are_retried_and_answers_judged_again(make_lab):
    state = {"says": "no", "fails": True}

    def script(request):
        if request["model"] == "judge":
            return completion(state["says"])
        if state["fails"] and "task 1" in str(request["messages"]):
            return Reply(400, error_body("no such task"))
        return completion("an answer")

    with ScriptedServer(script) as server:
        system = make_lab(server)
        experiment = system.launch(JUDGED)
        system.start_worker()
        rollouts = system.wait_until_ended(experiment)
        assert [each.status for each in rollouts] == ["completed", "failed", "completed"]
        state["fails"] = False
        assert retry(experiment, Selection(), actor="ada") == 1
        rollouts = system.wait_until_ended(experiment)
        assert [(each.attempt, each.reward) for each in rollouts] == [(1, 0.0), (2, 0.0), (1, 0.0)]
        assert Attempt.objects.get().stop_reason == "model_error"
        judges = Trajectory.objects.filter(kind="judge").count()
        state["says"] = "yes"
        said = system.manage("control", "judged", "rescore", "--judge-model", "some-model", "--yes")
        assert said == "judged: 3 rollouts wait to be scored again\n"
        system.wait_for(lambda: not Rescoring.objects.exclude(status__in=["done", "failed"]).exists())
        # That model says neither yes nor no: nothing changes.
        assert set(Rescoring.objects.values_list("status", flat=True)) == {"failed"}
        assert rescore(experiment, Selection(), actor="ada") == 3
        system.wait_for(lambda: Rescoring.objects.filter(status="done").count() == 3)
    assert set(experiment.rollouts().values_list("reward", flat=True)) == {1.0}
    assert Trajectory.objects.filter(kind="judge").count() == judges + 6
    system.manage("check_store")
    said = list(experiment.actions.order_by("pk").values_list("action", flat=True))
    assert said == ["launched", "retried", *["rescoring asked for", "rescored"] * 2]


def test_a_worker_that_dies_while_it_judges_again_loses_nothing(make_lab):
    state = {"holds": False}

    def script(request):
        if request["model"] != "judge":
            return completion("an answer")
        return FOREVER if state["holds"] else completion("yes")

    with ScriptedServer(script) as server:
        system = make_lab(server)
        experiment = system.launch(JUDGED)
        worker = system.start_worker()
        system.wait_until_ended(experiment)
        state["holds"] = True
        rescore(experiment, Selection())
        system.wait_for(lambda: Rescoring.objects.filter(status="running").count() == 3)
        worker.kill()
        worker.wait()
        state["holds"] = False
        system.start_worker()
        system.wait_for(lambda: Rescoring.objects.filter(status="done").count() == 3)
    assert set(Rescoring.objects.values_list("tries", flat=True)) == {2}
    assert set(experiment.rollouts().values_list("reward", flat=True)) == {1.0}
    system.manage("check_store")


BIG = """
name = "big"
examples = 60
models = ["demo-model"]
scaffolds = ["llm", "rlm"]
environments = ["verbatim-copy"]
"""


def test_pages_are_read_while_an_experiment_is_deleted(make_system, reader):
    system = make_system()
    big, other = system.launch(BIG), system.launch(BIG.replace('"big"', '"other"').replace("60", "5"))
    system.start_worker(concurrency=16)
    system.wait_until_ended(big, seconds=300)
    kept = [(each.pk, each.reward, each.cost) for each in system.wait_until_ended(other)]
    texts = Text.objects.count()
    told = deletion.contents(big)
    assert told.rollouts == 120
    answer = reader.post(reverse("experiment-action", args=["big", "delete"]), {"confirm": "yes"})
    assert answer.status_code == 302
    slowest, reads = 0.0, 0
    until = time.monotonic() + 60
    while Experiment.everything.filter(slug="big").exists():
        assert time.monotonic() < until
        for address in ("/", "/experiments/", other.get_absolute_url(), "/rollouts/"):
            began = time.monotonic()
            page = reader.get(address)
            slowest, reads = max(slowest, time.monotonic() - began), reads + 1
            assert page.status_code == 200
            assert "/experiments/big/" not in page.content.decode()
    assert reads > 3
    assert slowest < 2
    system.wait_for(lambda: Text.objects.count() < texts)
    assert [(each.pk, each.reward, each.cost) for each in other.rollouts().order_by("pk")] == kept
    for rollout in other.rollouts()[:3]:
        assert reader.get(rollout.get_absolute_url()).status_code == 200
    assert not Trajectory.objects.exclude(rollout__experiment=other).exists()
    system.manage("check_store")


def test_a_deletion_survives_its_worker(make_system):
    system = make_system()
    big = system.launch(BIG)
    worker = system.start_worker(concurrency=16)
    system.wait_until_ended(big, seconds=300)
    deletion.delete(big)
    system.wait_for(lambda: Rollout.objects.count() < 120)
    worker.kill()
    worker.wait()
    left = Rollout.objects.count()
    system.start_worker()
    system.wait_for(lambda: not Experiment.everything.exists())
    assert left < 120
    system.wait_for(lambda: not Text.objects.exists())
