"""Imports: arms by settings, examples by content, all or nothing."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection

from rlm_runs.engine.environments.base import Example as EngineExample
from rlm_runs.experiments import importer
from rlm_runs.experiments.importer import AlreadyImported, import_paths
from rlm_runs.experiments.launch import keep_examples
from rlm_runs.formats.records import Unreadable
from rlm_runs.models import Arm, Example, Execution, Experiment, Rollout, Text, Trajectory, Turn
from tests.formats.files import TIPS, csv_row, llm_row, metadata, rlm_row, user, write_csv, write_run

pytestmark = pytest.mark.django_db

LLM = metadata(env_args={"use_rlm": False, "level": 3, "seed": 42})
TIPPED = metadata(env_args={"use_rlm": True, "include_env_tips": True, "level": 3, "seed": 42})


@pytest.fixture
def runs(tmp_path):
    """Three runs of the same two questions, one for each scaffold."""
    path = tmp_path / "riddles"
    write_run(path / "llm", [llm_row(0), llm_row(1)], LLM)
    write_run(path / "rlm", [rlm_row(1), rlm_row(0)])
    write_run(path / "tips", [rlm_row(n, prompt=[user(f"question {n}{TIPS}")]) for n in (0, 1)], TIPPED)
    return path


def imported_from(*paths, **more):
    (imported,) = import_paths(paths, **more)
    return imported


def test_a_folder_is_an_experiment_of_paired_arms(runs):
    imported = imported_from(runs)
    experiment = imported.experiment
    assert (experiment.slug, experiment.name, experiment.seed) == ("riddles", "riddles", 42)
    assert [arm.arm.scaffold for arm in imported.arms] == ["llm", "rlm", "rlm_tips"]
    assert [arm.position for arm in experiment.arms.all()] == [0, 1, 2]
    assert (imported.files, imported.examples, imported.rollouts) == (3, 2, 6)
    places = {row.example_id: set() for row in experiment.rollouts()}
    for row in experiment.rollouts():
        places[row.example_id].add((row.example_position, row.repetition))
    assert sorted(map(list, places.values())) == [[(0, 0)], [(1, 0)]]
    assert [source["path"] for source in experiment.sources] == [
        f"riddles/{name}/results.jsonl" for name in ("llm", "rlm", "tips")
    ]
    call_command("check_store")


def test_the_trace_of_an_import_is_one_like_any_other(runs):
    imported_from(runs)
    rollout = Rollout.objects.filter(arm__scaffold="rlm").first()
    assert (rollout.status, rollout.reported, rollout.cells, rollout.cell_errors) == ("completed", True, 5, 1)
    assert (rollout.first_answer_turn, rollout.answer_edits, rollout.seconds) == (4, 1, 60.5)
    assert (rollout.main_prompt_tokens, rollout.sub_prompt_tokens, rollout.cost) == (9000, 4000, None)
    assert Turn.objects.filter(trajectory__rollout=rollout).count() == 6
    assert Execution.objects.filter(turn__trajectory__rollout=rollout, kind="cell").count() == 5
    assert Trajectory.objects.filter(rollout=rollout, kind="sub", summary__isnull=False).count() == 3


def test_examples_are_those_of_live_runs_where_they_are_equal(tmp_path):
    (live,) = keep_examples("riddles", [EngineExample(prompt="question 0", answer="42", metadata={"of": "live"})])
    imported_from(write_run(tmp_path / "run", [rlm_row(0), rlm_row(1)]))
    assert Example.objects.count() == 2
    assert Rollout.objects.filter(example=live).count() == 1
    live.refresh_from_db()
    assert live.metadata == {"of": "live"}


def test_the_same_number_again_is_a_repetition_and_another_one_is_not(tmp_path):
    rows = [rlm_row(0), rlm_row(0), rlm_row(0, example_id=7)]
    imported_from(write_run(tmp_path / "run", rows))
    assert sorted(Rollout.objects.values_list("example_position", "repetition")) == [(0, 0), (0, 1), (1, 0)]


def test_the_numbers_of_older_files_are_not_those_of_examples(tmp_path):
    rows = [llm_row(n) for n in (0, 1, 0, 1)]
    for number, row in enumerate(rows):
        del row["example_id"]
        row["id"] = number // 2  # as older files do it
    imported_from(write_run(tmp_path / "run", rows))
    assert sorted(Rollout.objects.values_list("example_position", "repetition")) == [
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
    ]


def test_two_runs_with_the_same_settings_are_one_arm(tmp_path):
    write_run(tmp_path / "both/a", [rlm_row(0)])
    write_run(tmp_path / "both/b", [rlm_row(0, reward=0.0)])
    imported = imported_from(tmp_path / "both")
    assert len(imported.arms) == 1
    assert imported.arms[0].reward == 0.5
    assert sorted(Rollout.objects.values_list("repetition", flat=True)) == [0, 1]


def test_a_table_has_no_transcript_and_its_modes_are_paired(tmp_path):
    rows = [csv_row(mode, context_length=n) for mode in ("rlm", "standard") for n in (5, 6, 7)]
    rows[3] |= {"turns": 0, "prompt_tokens": 0, "judge_reward": 0}
    imported = imported_from(write_csv(tmp_path / "oolong_x.csv", rows))
    assert imported.examples == 3
    llm, rlm = imported.arms
    assert (llm.arm.scaffold, llm.too_long, llm.scored, llm.unknown) == ("llm", 1, 2, ("transcript", "cost"))
    assert (rlm.rollouts, rlm.reward) == (3, 1.0)
    assert not Trajectory.objects.exists()
    assert Rollout.objects.filter(cells=None, answer=None, reported=True).count() == 6
    call_command("check_store")


def test_importing_again_is_refused_with_where_it_is(runs):
    imported_from(runs)
    with pytest.raises(
        AlreadyImported, match=r"results\.jsonl was imported already: it is in the experiment riddles"
    ):
        import_paths([runs / "rlm"])
    assert Experiment.objects.count() == 1


def test_the_same_file_twice_is_refused(tmp_path):
    write_run(tmp_path / "both/a", [rlm_row(0)])
    write_run(tmp_path / "both/b", [rlm_row(0)])
    with pytest.raises(AlreadyImported, match="has the same content as"):
        import_paths([tmp_path / "both"])


@pytest.mark.parametrize(
    ("last", "reason"),
    [
        ("{", "line 6: not valid JSON"),
        ('{"prompt": 7}', "line 6: prompt must be a list"),
    ],
)
def test_what_cannot_be_read_changes_nothing(runs, tmp_path, monkeypatch, last, reason):
    monkeypatch.setattr(importer, "_CHUNK", 2)  # so that some of it was written before
    broken = write_run(tmp_path / "broken", [*(rlm_row(n) for n in range(5)), last])
    with pytest.raises(Unreadable, match=reason):
        import_paths([runs, broken])
    assert not Experiment.objects.exists()
    assert not Rollout.objects.exists()
    assert not Example.objects.exists()
    assert not Text.objects.exists()


def test_a_file_that_cannot_be_opened_is_named(tmp_path):
    folder = write_run(tmp_path / "run", [rlm_row(0)])
    (folder / "results.jsonl").unlink()
    (folder / "results.jsonl").symlink_to("results.jsonl")
    with pytest.raises(CommandError, match=r"nothing was imported: .*results\.jsonl: Too many levels of symbolic"):
        call_command("import_runs", str(folder))
    with pytest.raises(Unreadable, match="File name too long"):
        import_paths([tmp_path / ("x" * 5000)])


def test_imports_wait_for_each_other(runs):
    """Two imports of one file at once do not both take it for new."""
    other = connection.copy()
    with other.cursor() as cursor, connection.cursor() as own:
        cursor.execute("SELECT pg_advisory_lock(%s)", [importer._LOCK])
        own.execute("SET LOCAL lock_timeout = '50ms'")
        try:
            with pytest.raises(OperationalError, match="lock timeout"):
                import_paths([runs])
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [importer._LOCK])
    other.close()
    assert not Experiment.objects.exists()
    imported_from(runs)


def test_a_run_without_rollouts_is_refused(tmp_path):
    with pytest.raises(Unreadable, match="it holds no rollout"):
        import_paths([write_run(tmp_path / "run", ["", ""])])


def test_a_name_that_no_column_can_hold_is_refused(tmp_path):
    with pytest.raises(Unreadable, match="line 1: its model has more than 200 characters"):
        import_paths([write_run(tmp_path / "run", [rlm_row()], metadata(model="m" * 201))])


def test_hostile_text_is_kept_as_it_was(tmp_path):
    hostile = "\x00\ud800</pre><script>\x1a"
    row = rlm_row(prompt=[user(hostile)], answer=hostile, stop_condition=hostile, info={hostile: hostile})
    imported_from(write_run(tmp_path / "run", [row], metadata(env_args={"a": hostile})))
    example = Example.objects.select_related("prompt", "answer").get()
    assert (example.prompt.text, example.answer.text) == (hostile, hostile)
    call_command("check_store")


def test_scaffolds_that_are_not_ours_are_names(tmp_path):
    imported = imported_from(write_run(tmp_path / "run", [rlm_row(info={"mode": "swarm"})]))
    assert imported.arms[0].arm.scaffold == "swarm"
    assert Rollout.objects.get().attempt_trajectories().filter(kind="sub").count() == 3
    assert Rollout.objects.get().failure_modes == []


def test_the_command_says_what_came_of_it(runs, tmp_path):
    out = StringIO()
    table = write_csv(tmp_path / "scores.csv", [csv_row()])
    call_command("import_runs", runs, table, environment="oolong", stdout=out)
    assert "imported riddles: 3 files, 3 arms, 2 examples, 6 rollouts" in out.getvalue()
    assert "riddles × RLM × gpt-5-mini: 2 rollouts, mean reward 1 of 2 scored; not known: cost" in out.getvalue()
    assert "imported scores: 1 files, 1 arms" in out.getvalue()
    assert Arm.objects.get(experiment__slug="scores").environment == "oolong"
    with pytest.raises(CommandError, match=r"nothing was imported: .*was imported already"):
        call_command("import_runs", runs)


def test_a_name_may_be_given(runs):
    assert imported_from(runs, name="My riddles").experiment.slug == "my-riddles"


@pytest.mark.parametrize(("depth", "largest"), [(1, 3), (0, None), ("deep", 3)])
def test_a_depth_that_is_no_number_is_the_usual_one(tmp_path, depth, largest):
    about = metadata(env_args={"use_rlm": True, "recursion_depth": depth})
    row = rlm_row()
    del row["sub_llm_max_batch_size"]
    imported_from(write_run(tmp_path / "run", [row], about))
    assert Rollout.objects.get().max_batch == largest
    call_command("check_store")
