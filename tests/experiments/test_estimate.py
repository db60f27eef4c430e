"""A dry run lists what would run, and the basis of its numbers."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command

from rlm_runs.execution import queue
from rlm_runs.experiments.estimate import estimate
from rlm_runs.experiments.launch import launch
from rlm_runs.experiments.plan import resolve
from rlm_runs.management.commands.launch import PRESETS, preset_names
from rlm_runs.models import Experiment, Rollout

SPEC = {
    "name": "x",
    "examples": 10,
    "models": ["demo-model"],
    "scaffolds": ["llm", "rlm"],
    "environments": ["verbatim-copy"],
}


@pytest.fixture(autouse=True)
def no_messages(db, monkeypatch):
    monkeypatch.setattr(queue.current_app, "send_task", lambda *_, **__: None)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")


def test_without_history_the_articles_means_are_the_basis():
    llm, rlm = estimate(resolve(SPEC)).arms
    assert (llm.rollouts, llm.calls) == (10, 10)
    assert llm.basis == "the article's means on Oolong/real"
    # 75,454 prompt tokens at $0.25 and 1,305 completion tokens at $2 per million, ten times
    assert llm.dollars == (Decimal(75_454) / 4 + Decimal(1_305) * 2) / 10**6 * 10
    assert rlm.calls == 349


def test_rollouts_of_the_same_arm_are_the_best_basis():
    experiment = launch(SPEC)
    for rollout in Rollout.objects.filter(arm__scaffold="rlm"):
        rollout.status, rollout.stop_reason = "completed", "answer_ready"
        rollout.turns, rollout.sub_turns = 4, 2
        rollout.main_prompt_tokens, rollout.main_completion_tokens = 1000, 100
        rollout.sub_prompt_tokens, rollout.sub_completion_tokens = 2000, 50
        rollout.save()
    _, rlm = estimate(resolve(SPEC | {"examples": 100})).arms
    assert rlm.basis == "mean of 10 rollouts of this arm"
    assert rlm.calls == 600
    assert rlm.dollars == 100 * (Decimal(3000) / 4 + 150 * 2) / 10**6
    other = {**SPEC, "environments": [{"name": "verbatim-copy", "target_length": 100}]}
    assert estimate(resolve(other)).arms[1].basis == "mean of 10 rollouts of verbatim-copy × rlm"
    assert experiment.rollouts().count() == 20


def test_rollouts_whose_tokens_are_not_known_are_no_basis():
    launch(SPEC)
    Rollout.objects.update(status="completed", stop_reason="final_message", main_prompt_tokens=None)
    assert {arm.basis for arm in estimate(resolve(SPEC)).arms} == {"the article's means on Oolong/real"}


def test_a_model_without_a_price_makes_the_cost_unknown(settings):
    settings.RLM_EXTRA_MODELS = ("mystery",)
    found = estimate(resolve(SPEC | {"models": ["mystery", "demo-model"]}))
    assert [arm.dollars is None for arm in found.arms] == [True, False, True, False]
    assert found.dollars is None


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_can_be_tried_dry(name, capsys):
    call_command("launch", preset=name, dry_run=True)
    told = capsys.readouterr().out
    assert "nothing was launched" in told
    assert "$" in told.splitlines()[-1]
    assert not Experiment.objects.exists()


def test_a_preset_that_is_not_there_is_told_with_those_that_are():
    with pytest.raises(CommandError, match=r"there is no preset 'oolog'; there are: .*verbatim-lengths"):
        call_command("launch", preset="oolog")
    assert PRESETS.is_dir()


@pytest.mark.parametrize(("name", "told"), [("oolong", "oolong by subset: "), ("per", "per model: ")])
def test_a_preset_may_be_named_by_its_beginning(name, told, capsys):
    call_command("launch", preset=name, model=["gpt-5-mini"], dry_run=True)
    assert capsys.readouterr().out.splitlines()[-1].startswith(told)


def test_a_beginning_of_several_presets_is_told_with_all_of_them():
    with pytest.raises(
        CommandError, match="'verb' may be verbatim-content or verbatim-fragments or verbatim-lengths"
    ):
        call_command("launch", preset="verb")
    with pytest.raises(CommandError, match="there is no preset ''"):
        call_command("launch", preset="")


def test_a_dry_run_says_what_tells_arms_apart(tmp_path, capsys):
    path = tmp_path / "spec.toml"
    path.write_text(
        'name = "x"\nexamples = 1\nscaffolds = ["llm"]\nenvironments = ["oolong"]\n'
        'models = ["gpt-5-mini", { name = "gpt-5-mini", temperature = 0.2, sub_model = "gpt-5-nano" }]\n'
    )
    call_command("launch", str(path), judge_model="gpt-4.1-mini", dry_run=True)
    first, second = capsys.readouterr().out.splitlines()[:2]
    assert first.startswith("  oolong × llm × gpt-5-mini judge_model=gpt-4.1-mini: 1 rollouts")
    assert " sampling.temperature=0.2 sub_model=gpt-5-nano judge_model=gpt-4.1-mini: 1 rollouts" in second
