"""docs/environments.md is complete, and its example works."""

import re
import tomllib
from pathlib import Path

import pytest

from rlm_runs.engine.environments.custom import from_folder
from rlm_runs.engine.environments.registry import REGISTRY
from rlm_runs.experiments.plan import resolve
from rlm_runs.experiments.spec import Sampling

PAGE = (Path(__file__).parents[2] / "docs/environments.md").read_text()


@pytest.mark.parametrize("name", REGISTRY)
def test_every_setting_and_metric_is_described(name):
    section = PAGE.split(f"## {name}\n")[1].split("\n## ")[0]
    environment = REGISTRY[name](REGISTRY[name].settings_type())
    for setting in type(environment.settings).model_fields:
        assert f"`{setting}`" in section
    example = environment.load(n=1, seed=1)[0]
    for metric in environment.score(example, example.answer).metrics:
        assert f"`{metric}`" in section


def test_every_parameter_of_sampling_is_described():
    section = PAGE.split("## Models in a spec\n")[1].split("\n## ")[0]
    assert [name for name in Sampling.model_fields if f"`{name}`" not in section] == []


def test_the_example_of_models_can_be_launched(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    example = tomllib.loads(re.search(r"```toml\n(sampling.+?)```", PAGE, re.DOTALL).group(1))
    arms = resolve(example | {"name": "x", "examples": 1, "scaffolds": ["llm"], "environments": ["oolong"]}).arms
    assert [arm.sampling.given.get("temperature") for arm in arms] == [1.0, 1.0, 0.2]
    assert [arm.sub_model.name for arm in arms] == ["gpt-5-mini", "gpt-5-nano", "gpt-4.1-mini"]


def test_the_example_of_a_new_environment_works(tmp_path):
    code = re.search(r"```python\n(.+?)```", PAGE, re.DOTALL).group(1)
    assert len(code.splitlines()) < 60
    (tmp_path / "reverse_words.py").write_text(code)
    ((where, environment_type),) = from_folder(tmp_path)
    assert where == str(tmp_path / "reverse_words.py")
    assert environment_type.name == "reverse-words"
    environment = environment_type(environment_type.settings_type(count=5))
    examples = environment.load(n=5, seed=7)
    assert examples == environment.load(n=5, seed=7)
    assert all(environment.score(example, example.answer).reward == 1 for example in examples)
    assert environment.score(examples[0], "no").reward == 0
