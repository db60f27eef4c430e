"""A spec becomes arms, examples and rollouts, all or nothing."""

from __future__ import annotations

import subprocess
from contextlib import closing

import pytest
from django.core.management import CommandError, call_command

from rlm_runs.execution import queue, sandboxes
from rlm_runs.execution.code_version import code_version
from rlm_runs.execution.worker import plan_of
from rlm_runs.experiments import launch as launching
from rlm_runs.experiments.launch import SpecError, launch
from rlm_runs.models import Arm, Example, Experiment, Rollout, Text
from sandbox.contract import ImageError
from sandbox.process_backend import ProcessBackend
from sandbox.settings import SandboxSettings

SPEC = {
    "name": "An Ablation!",
    "examples": 3,
    "seed": 7,
    "models": ["demo-model"],
    "scaffolds": ["llm", "rlm"],
    "environments": ["verbatim-copy", {"name": "needle-in-haystack", "lines": 50}],
}


@pytest.fixture(autouse=True)
def sent(db, monkeypatch, django_capture_on_commit_callbacks):
    """The messages sent to workers, by task."""
    tasks = []
    monkeypatch.setattr(queue.current_app, "send_task", lambda task, **_: tasks.append(task))
    with django_capture_on_commit_callbacks(execute=True):
        yield tasks


def counts():
    return [model.objects.count() for model in (Experiment, Arm, Example, Rollout, Text)]


def test_all_rows_are_there_and_one_message_tells_the_workers(sent, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        experiment = launch(SPEC)
    assert experiment.slug == "an-ablation"
    assert counts()[:4] == [1, 4, 6, 12]
    assert {rollout.status for rollout in experiment.rollouts()} == {Rollout.Status.QUEUED}
    assert sent == [queue.WORK]
    arm = experiment.arms.get(position=2)
    assert (arm.environment, arm.scaffold, arm.simulated) == ("needle-in-haystack", "llm", True)
    assert arm.environment_settings["lines"] == 50


def test_all_arms_of_an_environment_have_the_same_examples_in_the_same_order():
    experiment = launch(SPEC)
    per_arm = [
        list(arm.rollouts.order_by("example_position").values_list("example_id", flat=True))
        for arm in experiment.arms.all()
    ]
    assert per_arm[0] == per_arm[1]
    assert per_arm[2] == per_arm[3]
    assert not set(per_arm[0]) & set(per_arm[2])


def test_rollouts_are_queued_by_example_then_arm():
    experiment = launch(SPEC)
    order = list(experiment.rollouts().order_by("id").values_list("example_position", "arm__position"))
    assert order == [(example, arm) for example in range(3) for arm in range(4)]


def test_the_same_examples_are_shared_by_experiments_and_arms_have_the_same_hash():
    first, second = launch(SPEC), launch(SPEC)
    assert second.slug == "an-ablation-2"
    assert Example.objects.count() == 6
    hashes = [list(e.arms.values_list("settings_hash", flat=True)) for e in (first, second)]
    assert hashes[0] == hashes[1]


def test_repetitions_are_rollouts_of_their_own():
    experiment = launch(SPEC | {"repetitions": 3})
    assert experiment.rollouts().count() == 36
    assert set(experiment.rollouts().values_list("repetition", flat=True)) == {0, 1, 2}


@pytest.mark.parametrize(
    "changes",
    [
        {"environments": ["nowhere"]},
        {"examples": -1},
        {"scaffolds": ["llm", "llm"]},
        {"environments": [{"name": "math-python", "path": "no-such-file.jsonl"}]},
    ],
)
def test_a_spec_that_is_refused_writes_nothing(sent, changes):
    with pytest.raises(SpecError):
        launch(SPEC | changes)
    assert counts() == [0, 0, 0, 0, 0]
    assert sent == []


def test_twin_arms_are_named():
    with pytest.raises(SpecError, match=r"scaffolds\[1\]: makes the same arms as entry 1"):
        launch(SPEC | {"scaffolds": ["llm", {"name": "llm"}]})


def test_sampling_is_the_arms_own_and_the_spec_that_is_kept_can_be_launched_again():
    spec = SPEC | {
        "scaffolds": ["llm"],
        "environments": [{"name": "verbatim-copy", "mean_fragment_length": None}],
        "models": ["demo-model", {"name": "demo-model", "temperature": 0.2}],
        "sampling": {"temperature": 1.0},
    }
    first = launch(spec)
    assert [arm.sampling for arm in first.arms.all()] == [{"temperature": 1.0}, {"temperature": 0.2}]
    assert all(plan_of(rollout).sampling == rollout.arm.sampling for rollout in first.rollouts())
    first.refresh_from_db()
    again = launch(first.spec)
    hashes = [list(e.arms.values_list("settings_hash", flat=True)) for e in (first, again)]
    assert hashes[0] == hashes[1]
    assert again.arms.first().environment_settings["mean_fragment_length"] is None


def test_what_runs_the_code_of_an_arm_is_kept_and_with_which_program(monkeypatch):
    monkeypatch.setattr(launching, "code_version", lambda: "c0ffee+")
    experiment = launch(SPEC | {"environments": ["verbatim-copy", "math-python"]})
    prepare = sandboxes.backend().prepare
    tags = [prepare(()), *[prepare(("numpy", "scipy", "sympy"))] * 2]
    assert [arm.sandbox_image for arm in experiment.arms.all()] == ["", *tags]
    assert experiment.code_version == "c0ffee+"


def test_the_sandbox_without_walls_has_no_image_but_says_what_it_is(tmp_path):
    with closing(ProcessBackend(SandboxSettings(pool_size=0, state_dir=tmp_path))) as backend:
        assert backend.prepare(("numpy",)) == "process"


def test_an_image_is_kept_by_its_tag_for_each_set_of_packages(monkeypatch):
    class Backend:
        name = "docker"

        def prepare(self, packages):
            return f"image:{len(packages)}"

    monkeypatch.setattr(sandboxes, "backend", Backend)
    scaffolds = ["llm", "rlm", {"name": "rlm", "packages": ["attrs"]}]
    experiment = launch(SPEC | {"environments": ["verbatim-copy", "math-python"], "scaffolds": scaffolds})
    tags = [arm.sandbox_image for arm in experiment.arms.all()]
    assert tags == ["", "image:0", "image:1", "image:3", "image:3", "image:4"]


def test_the_version_is_the_commit_of_the_checkout_and_whether_it_was_changed(tmp_path, settings):
    settings.BASE_DIR = tmp_path
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')
    assert code_version.__wrapped__() == "1.2.3"
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@example.com"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        subprocess.run([*git, *command], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    (tmp_path / "untracked").write_text("no part of the program")
    assert code_version.__wrapped__() == commit
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.4"\n')
    assert code_version.__wrapped__() == f"{commit}+"


def test_a_missing_file_is_named_with_its_field():
    with pytest.raises(SpecError) as caught:
        launch(SPEC | {"environments": ["verbatim-copy", {"name": "math-python", "path": "no-such-file.jsonl"}]})
    (problem,) = caught.value.problems
    assert problem.field == "environments[1]"
    assert "no-such-file.jsonl" in problem.message


@pytest.mark.parametrize("path", ["{}/../secret.jsonl", "/etc/passwd", "{}/link.jsonl"])
def test_a_spec_from_the_form_names_files_of_the_data_folder_only(tmp_path, path):
    data = tmp_path / "data"
    data.mkdir()
    (tmp_path / "secret.jsonl").write_text('{"question": "1 + 1?", "answer": "2"}\n')
    (data / "link.jsonl").symlink_to(tmp_path / "secret.jsonl")
    spec = SPEC | {"environments": [{"name": "math-python", "path": path.format(data)}], "examples": 1}
    with pytest.raises(SpecError, match="must be a file in the data folder") as caught:
        launch(spec, data_dir=data)
    assert caught.value.problems[0].field == "environments[0].path"
    (data / "fine.jsonl").write_text('{"question": "1 + 1?", "answer": "2"}\n')
    launch(spec | {"environments": [{"name": "math-python", "path": str(data / "fine.jsonl")}]}, data_dir=data)


def test_an_image_that_cannot_be_built_is_told_at_launch(monkeypatch):
    class Backend:
        name = "docker"

        def prepare(self, packages):
            raise ImageError("numpy==999 was not found")

    monkeypatch.setattr(sandboxes, "backend", Backend)
    with pytest.raises(SpecError, match=r"environments\[0\]: its sandbox cannot be made: numpy==999"):
        launch(SPEC)
    assert counts() == [0, 0, 0, 0, 0]


def test_the_command_launches_a_file_and_says_what_it_did(tmp_path, capsys):
    path = tmp_path / "spec.toml"
    path.write_text(
        'name = "x"\nexamples = 1\nmodels = ["demo-model"]\nscaffolds = ["llm"]\nenvironments = ["oolong"]\n'
    )
    call_command("launch", str(path), examples=2)
    assert capsys.readouterr().out == "launched x: 1 arms, 2 rollouts\n"


def test_the_command_says_that_there_is_a_way_without_the_net(monkeypatch):
    monkeypatch.delenv("SERPER_API_KEY", raising=False)
    with pytest.raises(CommandError, match=r"environments\[0\]: its questions .*\n(.*\n)*With --offline it runs"):
        call_command("launch", preset="across-environments", model=["demo-model"], examples=1)
    call_command("launch", preset="across-environments", model=["demo-model"], examples=1, offline=True)
    assert Experiment.objects.count() == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = ", "not valid TOML"),
        ('name = "x"\nexamples = 0\nmodels = ["m"]\nscaffolds = ["llm"]\nenvironments = ["oolong"]', "examples: "),
        (None, "cannot be read"),
    ],
)
def test_the_command_says_what_is_wrong_with_a_file(tmp_path, text, said):
    path = tmp_path / "spec.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(CommandError, match=said):
        call_command("launch", str(path))
