"""A worker ends in the middle of rollouts, and the next one resumes them: every call is made once."""

from __future__ import annotations

import signal
from collections import Counter

import pytest

from rlm_runs.models import Execution, Rollout, Trajectory, Turn
from tests.engine.riddle import is_sub
from tests.scripted_server import ScriptedServer, cell, completion

SPEC = """
name = "resume"
examples = 1
models = ["some-model"]
scaffolds = ["rlm"]
environments = ["verbatim-copy"]
"""
CELLS = [
    "import json\nwords = ['one', 'two', 'three']\nprint(len(words))",
    "labels = llm_batch([f'label {n}' for n in range(6)])\nprint(labels)",
    "counts = {}\nfor label in labels:\n    counts[label] = counts.get(label, 0) + 1\ncounts",
    "more = llm_batch(['x', 'y'])\n{wait}\nprint(more + labels[:1])",
    "undefined_name",
    "answer['content'] = json.dumps(counts) + more[1]",
    "print(answer['content'])\nanswer['ready'] = True",
]
WAIT = "import pathlib, time\nwhile not pathlib.Path({flag!r}).exists():\n    time.sleep(0.05)"


def script(*, wait="", cells=CELLS):
    """Seven cells, two of which ask sub-LLMs; the fourth waits after its batch."""

    def answer(request):
        messages = request["messages"]
        if is_sub(request):
            return completion("\\boxed{" + messages[1]["content"].upper() + "}")
        turns = sum(message["role"] == "assistant" for message in messages)
        return cell(cells[turns].replace("{wait}", wait))

    return answer


def outcome(rollout):
    """What a rollout came to, without times."""
    names = ("status", "stop_reason", "reward", "turns", "cells", "batches", "sub_calls", "sub_turns", "cost")
    tokens = ("main_prompt_tokens", "main_completion_tokens", "sub_prompt_tokens", "sub_completion_tokens")
    return {name: getattr(rollout, name) for name in (*names, *tokens, "cell_errors", "answer_id", "earlier_cost")}


def run(make_system, answer, *, interrupt=None):
    """The rollout, the requests by their messages, and the system. `interrupt` is called once a worker runs."""
    with ScriptedServer(answer) as server:
        system = make_system(
            OPENAI_BASE_URL=server.url, RLM_EXTRA_MODELS="some-model", RLM_PROCESS_SANDBOX_MODELS="some-model"
        )
        experiment = system.launch(SPEC, "--no-probe")
        worker = system.start_worker(concurrency=2)
        if interrupt is not None:
            interrupt(system, worker)
            system.start_worker(concurrency=2)
        (rollout,) = system.wait_until_ended(experiment)
        requests = Counter(repr(request["messages"]) for request in server.requests)
    system.stop()
    system.manage("check_store")
    return rollout, requests


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_rollout_goes_on_behind_its_last_turn(make_system, tmp_path, number):
    undisturbed, calls = run(make_system, script())
    flag = tmp_path / "go on"
    before = {}

    def interrupt(system, worker):
        system.wait_for(
            lambda: (
                Trajectory.objects.filter(
                    parent__turn__index=3, rollout__pk__gt=undisturbed.pk, finished_at__isnull=False
                ).count()
                == 2
            )
        )
        worker.send_signal(number)
        worker.wait(timeout=30)
        rows = Turn.objects.filter(trajectory__rollout__pk__gt=undisturbed.pk)
        before.update({row.pk: (row.trajectory_id, row.index, row.content_id, row.ended_at) for row in rows})
        flag.touch()

    waits = WAIT.format(flag=str(flag))
    rollout, again = run(make_system, script(wait=waits), interrupt=interrupt)
    assert len(before) == 4 + 8
    assert outcome(rollout) == outcome(undisturbed)
    assert set(again.values()) == {1}
    assert sum(again.values()) == sum(calls.values()) == 7 + 8
    assert (rollout.attempt, rollout.claims) == (1, 2)
    turns = Turn.objects.filter(trajectory__rollout=rollout)
    assert turns.count() == 7 + 8
    kept = {row.pk: (row.trajectory_id, row.index, row.content_id, row.ended_at) for row in turns}
    assert before.items() <= kept.items()
    assert [str(note) for note in rollout.notes.all()] == ["resumed after turn 4"]
    assert not Execution.objects.filter(turn__trajectory__rollout=rollout, finished=False).exists()
    assert set(Trajectory.objects.filter(rollout=rollout).values_list("stop_reason", flat=True)) == {
        "answer_ready",
        "final_message",
    }


def test_a_cell_that_prints_the_time_makes_a_new_attempt(make_system, tmp_path):
    flag = tmp_path / "go on"

    def interrupt(system, worker):
        system.wait_for(lambda: Execution.objects.filter(turn__index=3, finished=False).count() == 1)
        worker.send_signal(signal.SIGKILL)
        worker.wait(timeout=30)
        flag.touch()

    cells = [*CELLS[:2], "import time\nprint(time.time())\ncounts = {}", *CELLS[3:]]
    rollout, _ = run(make_system, script(wait=WAIT.format(flag=str(flag)), cells=cells), interrupt=interrupt)
    assert (rollout.status, rollout.attempt, rollout.turns) == (Rollout.Status.COMPLETED, 2, 7)
    assert [str(note) for note in rollout.notes.all()] == [
        "resumed after turn 4",
        "restarted: cell 3 printed something else",
    ]
    assert [note.attempt for note in rollout.notes.all()] == [1, 2]
    assert Turn.objects.filter(trajectory__attempt=1, trajectory__kind="root").count() == 4
