"""Custom environments load from a folder and entry points; broken ones are named."""

import os
import subprocess
import sys

import pytest

from rlm_runs.engine.environments import custom
from rlm_runs.engine.environments.custom import CustomEnvironmentError, add_custom
from rlm_runs.engine.environments.registry import REGISTRY

GOOD = """
from __future__ import annotations
from pydantic import Field
from rlm_runs.engine.environments.base import Environment, Example, Score, Settings

class EchoSettings(Settings):
    word: str = Field("hello", description="The word")

class Echo(Environment[EchoSettings]):
    name = "echo"
    title = "Echo"
    description = "Say a word."
    settings_type = EchoSettings

    def load(self, *, n, seed):
        return [Example(prompt=f"Say {self.settings.word}.", answer=self.settings.word)] * n

    def score(self, example, answer):
        return Score(reward=float(answer == example.answer))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("RLM_ENVIRONMENTS_DIR", str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith(custom.MODULE_PREFIX)]:
        del sys.modules[name]


def test_a_file_of_the_folder_is_in_the_registry(folder):
    (folder / "echo.py").write_text(GOOD)
    (folder / "_draft.py").write_text("no python")
    registry = dict(REGISTRY)
    add_custom(registry)
    assert set(registry) - set(REGISTRY) == {"echo"}
    environment = registry["echo"](registry["echo"].settings_type(word="ho"))
    (example,) = environment.load(n=1, seed=1)
    assert environment.score(example, "ho").reward == 1


def test_every_process_of_the_program_has_it(folder):
    (folder / "echo.py").write_text(GOOD)
    code = "from rlm_runs.engine.environments.registry import REGISTRY; print(*REGISTRY)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60, env=dict(os.environ)
    )
    assert done.stdout.split() == [*REGISTRY, "echo"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x = (", r"broken\.py cannot be loaded: SyntaxError.*\(line 1\)"),
        ("\n\nimport no_such_module", r"broken\.py cannot be loaded: ModuleNotFoundError.*\(line 3\)"),
        ("x = 1", r"broken\.py defines no subclass of Environment"),
        (
            GOOD.replace("def score", "def scores"),
            r"broken\.py: the environment Echo cannot be used: it lacks score",
        ),
        (GOOD.replace('title = "Echo"', ""), r"broken\.py: .* it has no title"),
        (GOOD.replace("settings_type = EchoSettings", ""), "its settings_type is no subclass of Settings"),
        (GOOD.replace('"echo"', '"oolong"'), "there is an environment 'oolong' already"),
    ],
)
def test_a_broken_file_is_named(folder, text, says):
    (folder / "broken.py").write_text(text)
    with pytest.raises(CustomEnvironmentError, match=says):
        add_custom(dict(REGISTRY))


def test_a_folder_that_is_none_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("RLM_ENVIRONMENTS_DIR", str(tmp_path / "gone"))
    with pytest.raises(CustomEnvironmentError, match=r"RLM_ENVIRONMENTS_DIR names .*gone, which is no folder"):
        add_custom({})


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package with one entry point."""

    def install(value):
        (tmp_path / "echo_package.py").write_text(GOOD)
        info = tmp_path / "echo_package-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: echo-package\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[rlm_runs.environments]\necho = {value}\n")
        monkeypatch.syspath_prepend(tmp_path)

    yield install
    sys.modules.pop("echo_package", None)


def test_an_entry_point_is_in_the_registry(package):
    package("echo_package:Echo")
    registry = dict(REGISTRY)
    add_custom(registry)
    assert registry["echo"].title == "Echo"


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("echo_package:Gone", "the entry point echo = 'echo_package:Gone' cannot be loaded: AttributeError"),
        ("echo_package:EchoSettings", "is no subclass of Environment"),
    ],
)
def test_a_broken_entry_point_is_named(package, value, says):
    package(value)
    with pytest.raises(CustomEnvironmentError, match=says):
        add_custom(dict(REGISTRY))
