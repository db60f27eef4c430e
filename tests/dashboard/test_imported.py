"""Pages of imported rollouts show what the files have, and no more."""

from __future__ import annotations

import pytest
from django.urls import reverse

from rlm_runs.analysis.aggregates import snapshot
from rlm_runs.analysis.aggregates.dimensions import dimensions, grouped
from rlm_runs.experiments.importer import import_paths
from rlm_runs.models import Rollout, Trajectory
from tests.formats.files import csv_row, llm_row, metadata, rlm_row, write_csv, write_run


@pytest.fixture
def imported(tmp_path, db):
    write_run(tmp_path / "riddles/rlm", [rlm_row()])
    write_run(tmp_path / "riddles/llm", [llm_row()], metadata(env_args={"use_rlm": False, "level": 3}))
    write_csv(tmp_path / "riddles/oolong.csv", [csv_row("standard", turns=0, prompt_tokens=0), csv_row()])
    (found,) = import_paths([tmp_path / "riddles"])
    return found.experiment


def text_of(response):
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def test_the_experiment_says_where_it_is_from(reader, imported):
    page = text_of(reader.get(imported.get_absolute_url()))
    assert "imported from 3 files" in page
    assert "riddles/rlm/results.jsonl" in page
    assert "launched" not in page


def test_scaffolds_come_in_their_own_order(tmp_path, db):
    """Folder names do not matter; the first run has no LLM."""
    write_run(tmp_path / "lab/a", [rlm_row()], metadata(env_id="alpha", env_args={"use_rlm": True}))
    write_run(tmp_path / "lab/b", [llm_row()], metadata(env_id="beta", env_args={"use_rlm": False}))
    (found,) = import_paths([tmp_path / "lab"])
    now = snapshot(found.experiment)
    assert [arm.scaffold for arm in now.arms] == ["rlm", "llm"]
    for name in ("variant", "scaffold"):
        series = grouped(now, dimensions(now)[name], frame=now.frame())
        assert [value.label for value in series.values] == ["LLM", "RLM"]


def test_the_replay_of_an_imported_trace(reader, imported):
    rollout = Rollout.objects.get(arm__environment="riddles", arm__scaffold="rlm")
    page = text_of(reader.get(rollout.get_absolute_url()))
    assert page.count("summary: no words recorded") == 2  # and one that failed, with its error
    assert "cost not recorded" in page
    assert "the rest is not in the file" in page
    assert "model 0 ms" not in page
    assert "unpriced" not in page


def test_a_call_of_which_a_line_is_known(reader, imported):
    call = Trajectory.objects.filter(kind="sub").order_by("pk").first()
    page = text_of(reader.get(reverse("call", args=[call.rollout_id, call.pk])))
    assert "has one line of this call: 1,200 tokens, 2 tool calls" in page
    assert "No turn." not in page


def test_a_rollout_without_a_transcript(reader, imported):
    rollout = Rollout.objects.get(arm__environment="oolong", arm__scaffold="rlm")
    page = text_of(reader.get(rollout.get_absolute_url()))
    assert "No transcript was recorded" in page
    assert page.count("not in the file that it was imported from") == 2
    refused = Rollout.objects.get(arm__environment="oolong", arm__scaffold="llm")
    assert "The API refused the prompt as too long" in text_of(reader.get(refused.get_absolute_url()))


def test_tokens_that_are_not_told(reader, imported):
    rollout = Rollout.objects.get(arm__environment="riddles", arm__scaffold="llm")
    page = text_of(reader.get(rollout.get_absolute_url()))
    assert "tokens of the main model not recorded" in page
    assert "None" not in page
    assert "wrong answer" in page


def test_the_prompt_of_a_turn_says_that_it_may_not_be_whole(reader, imported):
    rollout = Rollout.objects.get(arm__environment="riddles", arm__scaffold="rlm")
    turn = rollout.trajectories.get(kind="root").turns.last()
    page = text_of(reader.get(reverse("prompt", args=[rollout.pk, turn.pk])))
    assert "a system prompt that the scaffold added may be missing" in page


def test_every_list_and_page_of_it_opens(reader, imported):
    for address in (
        reverse("experiments"),
        reverse("rollouts"),
        reverse("experiment-rollouts", args=[imported.slug]),
        imported.get_absolute_url() + "?unscored=zero",
        *(rollout.get_absolute_url() for rollout in imported.rollouts()),
    ):
        assert reader.get(address).status_code == 200
