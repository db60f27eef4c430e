"""Forks by real workers: the recorded part is bit-identical, no recorded call is made again, differences are shown
before the model is asked, and a fork is in no number of its experiment.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from django.core.management import call_command

from rlm_runs.analysis.aggregates import snapshot
from rlm_runs.analysis.stored_traces import stored_trace
from rlm_runs.engine import events as e
from rlm_runs.execution import deletion
from rlm_runs.models import Execution, Experiment, Fork, Rollout, Text, Turn
from tests.end_to_end.system import ROOT
from tests.scripted_server import ScriptedServer, cell, completion

SPEC = """
name = "to fork"
examples = 1
seed = 7
models = ["demo-model"]
scaffolds = ["rlm"]
environments = [{ name = "oolong", context_length_min = 3000, context_length_max = 6000 }]
"""
CELLS = [
    "total = 0\nprint(len(context))",
    "said = llm_batch(['a', 'b'])\nprint(said)",
    "class Thing: pass\nthing = Thing()\ntotal += len(said)\nprint(thing, total)",
    "answer['content'] = repr((said, total))\nanswer['ready'] = True",
]


def is_sub(request):
    return request["messages"][0]["content"].startswith("You are a sub-LLM")


def script(request):
    messages = request["messages"]
    if is_sub(request):
        return completion(f"\\boxed{{{messages[1]['content'].upper()}}}")
    return cell(CELLS[sum(message["role"] == "assistant" for message in messages)])


@pytest.fixture
def server():
    with ScriptedServer(script) as server:
        yield server


@pytest.fixture
def system(make_system, server):
    return make_system(DEMO_MODEL_URL=server.url)


@pytest.fixture
def origin(system):
    experiment = system.launch(SPEC)
    system.start_worker()
    (rollout,) = system.wait_until_ended(experiment)
    assert rollout.status == "completed", rollout.error
    return rollout


def manage(system, *arguments):
    command = [sys.executable, "manage.py", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=system.variables, capture_output=True, text=True, check=False)


def fork(system, origin, *arguments):
    done = manage(system, "fork", origin.pk, *arguments, "--wait")
    created = Fork.objects.select_related("rollout").order_by("-pk").first()
    return created, done


def prefix(rollout, *, turns):
    """What the first turns of a root and all below them said and did, without the keys of their rows."""
    told = stored_trace(rollout, attempt=1).events
    kept = {event.key: event.kind for event in told if isinstance(event, e.TrajectoryStarted)}
    (root,) = (key for key, kind in kept.items() if kind == "root")
    places = {event.key: event.turn for event in told if isinstance(event, e.ExecutionStarted)}
    of = {e_.key: places.get(e_.parent) for e_ in told if isinstance(e_, e.TrajectoryStarted)}
    found = []
    for event in told:
        if isinstance(event, e.TurnEnded):
            turn = event.index if event.trajectory == root else of[event.trajectory]
            if turn is not None and turn < turns:
                found.append((event.at, event.content, event.reply, event.tool_calls, event.usage, event.seconds))
        elif isinstance(event, e.ExecutionEnded) and places[event.key] < turns:
            found.append((event.output, event.shown, event.answer, event.ready, event.seconds, event.variables))
        elif isinstance(event, e.TrajectoryEnded) and of[event.key] is not None and of[event.key] < turns:
            found.append((event.at, event.stop_reason, event.answer))
    return found


def test_a_fork_repeats_no_call_and_changes_nothing_recorded(system, server, origin):
    whole = [request for request in server.requests if not is_sub(request)]
    before = json.dumps(list(Rollout.objects.filter(pk=origin.pk).values()), default=str)
    server.requests.clear()
    forked, done = fork(system, origin, "--turn", 2)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Rollout {forked.rollout_id} forks rollout {origin.pk} after turn 2." in done.stdout
    first, second = (request["messages"] for request in server.requests)  # of turns 3 and 4, and of no sub-LLM
    assert first == whole[2]["messages"]
    # The cell of turn 3 ran anew: its time and the addresses of its objects are its own.
    own = re.compile(r"0x[0-9a-f]+|Execution time: [0-9.]+s")
    assert own.sub("", str(second)) == own.sub("", str(whole[3]["messages"]))
    rollout = forked.rollout
    assert (rollout.status, rollout.stop_reason, rollout.turns) == ("completed", "answer_ready", 4)
    assert prefix(rollout, turns=2) == prefix(origin, turns=2)
    assert len(prefix(rollout, turns=2)) == 8  # two turns and their cells, two sub-calls and their ends
    assert forked.differences == []
    paid = Turn.objects.filter(trajectory__rollout=rollout, trajectory__kind="root").order_by("index")
    assert [turn.cost == 0 for turn in paid] == [True, True, False, False]
    assert not Turn.objects.filter(trajectory__rollout=rollout, trajectory__kind="sub").exclude(cost=0).exists()
    assert json.dumps(list(Rollout.objects.filter(pk=origin.pk).values()), default=str) == before
    call_command("check_store")


def test_an_edited_answer_and_an_edited_cell_reach_the_model(system, server, origin):
    server.requests.clear()
    forked, _ = fork(system, origin, "--turn", 2, "--answer", "0.0.1=edited")
    assert forked.rollout.status == "completed", forked.rollout.error
    assert not any(map(is_sub, server.requests))  # neither the edited answer nor its neighbour is asked for
    shown = server.requests[0]["messages"][-1]["content"]
    assert "['A', 'edited']" in shown
    server.requests.clear()
    forked, _ = fork(system, origin, "--turn", 3, "--code", "print(total, said)", "--message", "Again.")
    messages = server.requests[0]["messages"]
    assert messages[-2]["content"] == "Again."
    assert messages[-1]["content"].startswith("0 ['A', 'B']")
    assert forked.edited == ["message", "cell"]


def test_settings_and_models_are_the_forks_own(system, server, origin):
    server.requests.clear()
    settings = ("--set", "max_turns=2", "--sampling", "temperature=0.5")
    forked, _ = fork(system, origin, "--turn", 1, *settings, "--hold", "never")
    assert [each["what"] for each in forked.differences] == ["the prompt is another one"]  # it names the turns
    assert (forked.rollout.turns, forked.rollout.stop_reason) == (2, "max_turns")
    assert {request["temperature"] for request in server.requests} == {0.5}
    assert forked.changes["max_turns"] == 2
    assert forked.changes["temperature"] == 0.5
    done = manage(system, "fork", origin.pk, "--turn", 1, "--set", "max_turn=2")
    assert done.returncode == 1
    assert "max_turn" in done.stderr
    for arguments, said in ((("--turn", 9), "there is no turn 9"), (("--model", "x"), "name the turn")):
        done = manage(system, "fork", origin.pk, *arguments)
        assert (done.returncode, said in done.stderr) == (1, True), done.stderr
    assert Fork.objects.count() == 1


def test_a_difference_is_shown_before_the_model_is_asked(system, server, origin):
    first = Execution.objects.filter(turn__trajectory__rollout=origin, kind="cell").order_by("pk").first()
    (changed,) = Text.objects.keep(["another number\n"])
    Execution.objects.filter(pk=first.pk).update(output=changed)
    server.requests.clear()
    forked, done = fork(system, origin, "--turn", 3)
    assert done.returncode == 1
    assert "printed something else" in done.stdout
    assert "recorded 'another number\\n'" in done.stdout
    assert server.requests == []
    assert forked.is_held
    assert re.match(r"\d+\n", forked.differences[0]["now"])
    assert (forked.differences[0]["turn"], len(forked.differences)) == (1, 1)
    done = manage(system, "fork", forked.rollout_id, "--continue", "--wait")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(server.requests) == 1
    forked.rollout.refresh_from_db()
    assert (forked.rollout.status, forked.rollout.turns, forked.rollout.attempt) == ("completed", 4, 1)
    assert manage(system, "fork", forked.rollout_id, "--continue").returncode == 1
    call_command("check_store")


def test_a_fork_is_in_no_number_of_its_experiment(system, server, origin, client, django_user_model):
    client.force_login(django_user_model.objects.create(username="ada"))
    experiment = origin.arm.experiment
    slug = experiment.slug
    pages = (
        "/experiments/",
        "/rollouts/",
        f"/api/experiments/{slug}/",
        f"/experiments/{slug}/",
        f"/experiments/{slug}/rollouts/",
    )
    numbers = [_without_tokens(client.get(page)) for page in pages]
    summary = snapshot(experiment)
    forked, _ = fork(system, origin, "--turn", 2)
    again, _ = fork(system, forked.rollout, "--turn", 3, "--hold", "always")
    assert [_without_tokens(client.get(page)) for page in pages] == numbers
    assert snapshot(experiment) == summary
    hidden = forked.rollout.arm.experiment
    assert hidden == again.rollout.arm.experiment
    assert not Experiment.objects.filter(pk=hidden.pk).exists()
    assert client.get(f"/experiments/{hidden.slug}/").status_code == 404
    assert again.is_held
    call_command("check_store")
    deletion.delete(experiment)
    system.wait_for(lambda: not Experiment.everything.exists())  # the worker removes them
    assert not Rollout.objects.exists()


def _without_tokens(response):
    assert response.status_code == 200
    return re.sub(r'"X-CSRFToken": "\w+"|value="\w{64}"|nonce="[^"]*"|csrf\S+', "", response.content.decode())
