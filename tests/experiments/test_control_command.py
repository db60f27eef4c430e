"""`manage.py control` takes the actions that pages and the API take, and asks before those that cost or remove."""

from __future__ import annotations

import sys

import pytest
from django.core.management import CommandError, call_command

from rlm_runs.execution import queue
from rlm_runs.experiments.launch import launch
from rlm_runs.models import Experiment, Rollout

SPEC = {
    "name": "e",
    "examples": 2,
    "models": ["demo-model"],
    "scaffolds": ["llm"],
    "environments": ["verbatim-copy"],
}


@pytest.fixture
def lab(db, monkeypatch):
    monkeypatch.setattr(queue.current_app, "send_task", lambda *_, **__: None)
    experiment = launch(SPEC)
    experiment.rollouts().filter(example_position=0).update(
        status=Rollout.Status.FAILED, stop_reason="model_error", attempt=1
    )
    return experiment


@pytest.fixture
def at_a_terminal(monkeypatch):
    """Answers what the command asks."""

    def answers(answer):
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
        monkeypatch.setattr("builtins.input", lambda _: answer)

    return answers


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["retry"], "e: 1 rollout queued again"),
        (["retry", "--outcomes", "failed,cancelled"], "e: 1 rollout queued again"),
        (["add", "--examples", "3", "--scaffolds", "rlm"], "e: 4 rollouts added"),
        (["add", "--scaffolds", '{name = "rlm", max_turns = 3}', "rlm"], "e: 4 rollouts added"),
        (["clone", "--name", "again"], "e: launched again"),
        (["archive"], "e: active, priority 0"),
        (["delete"], "e: deleted; workers remove its rows"),
        (["delete", "--now"], "e: deleted"),
    ],
)
def test_it_does_it_with_yes(lab, capsys, arguments, said):
    call_command("control", "e", *arguments, "--yes")
    assert capsys.readouterr().out.strip() == said


@pytest.mark.parametrize("arguments", [["retry"], ["add", "--examples", "3"], ["clone"], ["delete"]])
def test_without_a_terminal_it_says_what_it_would_do_and_does_nothing(lab, capsys, arguments):
    with pytest.raises(CommandError, match="nothing was done: confirm it with --yes"):
        call_command("control", "e", *arguments)
    said = capsys.readouterr().out
    assert "rollouts: " in said
    assert (Experiment.objects.count(), lab.rollouts().count()) == (1, 2)
    assert lab.actions.count() == 1


def test_at_a_terminal_it_asks(lab, at_a_terminal, capsys):
    at_a_terminal("no")
    with pytest.raises(CommandError, match="nothing was done"):
        call_command("control", "e", "delete")
    at_a_terminal("yes")
    call_command("control", "e", "delete")
    assert not Experiment.objects.exists()
    assert "turns: 0" in capsys.readouterr().out


def test_deleting_now_removes_the_rows(lab):
    call_command("control", "e", "delete", "--yes", "--now")
    assert not Experiment.everything.exists()
    assert not Rollout.objects.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["retry", "--outcomes", "sad"], "unknown outcome 'sad'"),
        (["retry", "--arm", "x"], "arm: Input should be a valid integer"),
        (["pause", "--arm", "1"], "arm: Extra inputs are not permitted"),
        (["add", "--scaffolds", "rml"], "did you mean rlm"),
        (["rescore"], "has an answer to score"),
        (["rescore", "--judge-model", "nobody"], "there is no model 'nobody'"),
    ],
)
def test_it_says_what_is_wrong(lab, arguments, said):
    with pytest.raises(CommandError, match=said):
        call_command("control", "e", *arguments, "--yes")
