"""Real files of other tools, where present: the published numbers come out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from django.core.management import call_command

from rlm_runs.analysis.aggregates import Unscored
from rlm_runs.analysis.aggregates.frame import Outcome, load
from rlm_runs.analysis.aggregates.measures import MEASURES
from rlm_runs.analysis.aggregates.unscored import select_counted
from rlm_runs.experiments.importer import import_paths
from rlm_runs.models import Example, Experiment, Rollout, Trajectory

SHARED = Path(__file__).resolve().parents[2].parent / "shared/data"
OOLONG = SHARED / "oolong_real_gpt5mini_raw_results.csv"

pytestmark = [pytest.mark.django_db, pytest.mark.skipif(not SHARED.is_dir(), reason="no shared data here")]

PUBLISHED = {
    "llm": {
        "reward": 0.02,
        "main_prompt_tokens": 75_454.32,
        "main_completion_tokens": 1_305.1,
        "sub_calls": 0,
        "sub_prompt_tokens": 0,
        "sub_completion_tokens": 0,
        "turns": 0.46,
    },
    "rlm": {
        "reward": 0.14,
        "main_prompt_tokens": 156_765.54,
        "main_completion_tokens": 11_832.88,
        "sub_calls": 18.0,
        "sub_prompt_tokens": 2_563.5,
        "sub_completion_tokens": 4_899.44,
        "turns": 16.9,
    },
    "rlm_tips": {
        "reward": 0.10,
        "main_prompt_tokens": 69_169.34,
        "main_completion_tokens": 6_362.7,
        "sub_calls": 25.4,
        "sub_prompt_tokens": 110_958.36,
        "sub_completion_tokens": 20_759.56,
        "turns": 11.34,
    },
}


def frame_of(imported):
    return load([arm.arm.pk for arm in imported.arms], measures=[MEASURES[name] for name in PUBLISHED["llm"]])


@pytest.fixture
def oolong():
    (imported,) = import_paths([OOLONG])
    return imported


def test_the_published_means_of_oolong(oolong):
    frame = select_counted(frame_of(oolong), Unscored.ZERO)
    for arm in oolong.arms:
        of_arm = frame.where(frame["arm"] == arm.arm.pk)
        assert len(of_arm) == 50
        means = {name: of_arm[name].mean() for name in PUBLISHED["llm"]}
        assert means == pytest.approx(PUBLISHED[arm.arm.scaffold], abs=1e-9)


def test_prompts_that_the_api_refused_have_no_reward(oolong):
    assert [(arm.arm.scaffold, arm.too_long, arm.scored) for arm in oolong.arms] == [
        ("llm", 27, 23),
        ("rlm", 0, 50),
        ("rlm_tips", 0, 50),
    ]
    assert Rollout.objects.filter(failure_modes__contains=["too_long"]).count() == 27
    frame = frame_of(oolong)
    assert (frame["outcome"] == Outcome.TOO_LONG).sum() == 27


def test_the_modes_are_paired_by_example(oolong):
    frame = select_counted(frame_of(oolong), Unscored.ZERO)
    rewards = {
        arm.arm.scaffold: dict(
            zip(
                frame["example"][frame["arm"] == arm.arm.pk],
                frame["reward"][frame["arm"] == arm.arm.pk],
                strict=True,
            )
        )
        for arm in oolong.arms
    }
    assert Example.objects.count() == 50
    differences = {
        name: np.array([rewards[name][example] - rewards["llm"][example] for example in rewards["llm"]])
        for name in ("rlm", "rlm_tips")
    }
    assert [(int((d > 0).sum()), int((d < 0).sum())) for d in differences.values()] == [(7, 1), (4, 0)]


def test_the_published_averages_of_whole_runs():
    (imported,) = import_paths([SHARED / "verifiers_v0"])
    means = {(arm.arm.environment, arm.arm.model): arm.reward for arm in imported.arms}
    assert means == {
        ("math-python", "gpt-4.1-mini"): pytest.approx(0.9333333333333333, abs=1e-12),
        ("math-python", "gpt-5-nano"): pytest.approx(1.0, abs=1e-12),
        ("wiki-search", "gpt-4.1-mini"): pytest.approx(0.78, abs=1e-12),
        ("wiki-search", "gpt-5-mini"): pytest.approx(0.92, abs=1e-12),
    }
    assert imported.examples == 105  # the same ones for both models, three repetitions of the five
    assert Rollout.objects.filter(repetition=2).count() == 10
    wiki = Rollout.objects.filter(arm__environment="wiki-search", arm__model="gpt-5-mini")
    assert sum(wiki.values_list("tool_calls", flat=True)) == 412
    call_command("check_store")


def test_the_rlm_rollouts():
    (imported,) = import_paths([SHARED / "verifiers_v0_rlm"])
    assert {(arm.arm.environment, arm.arm.scaffold) for arm in imported.arms} == {
        ("deepdive", "rlm_tips"),
        ("math-python", "rlm"),
        ("verbatim-copy", "rlm_tips"),
    }
    rollout = Rollout.objects.get(arm__environment="deepdive")
    calls = Trajectory.objects.filter(rollout=rollout, kind="sub")
    assert (rollout.cells, rollout.sub_calls, rollout.batches, rollout.max_batch) == (5, 8, 2, 4)
    assert sum(call.summary["tokens"] for call in calls) == rollout.sub_tokens
    assert sum(call.summary["tool_calls"] for call in calls) == rollout.tool_calls
    copied = Rollout.objects.get(arm__environment="verbatim-copy")
    assert copied.answer.text == copied.example.answer.text
    assert copied.first_answer_turn == 2
    call_command("check_store")


def test_all_of_it_as_one_experiment():
    import_paths([SHARED])
    assert Experiment.objects.get().rollouts().count() == 150 + 230 + 3
    call_command("check_store")
