"""docs/scaffolds.md is complete, and its example works."""

import re
from pathlib import Path

import pytest

from rlm_runs.engine.scaffolds import custom, registry
from rlm_runs.engine.scaffolds.registry import REGISTRY as SCAFFOLDS
from rlm_runs.experiments.plan import resolve
from tests.engine.riddle import PlainRiddle, ended, steps
from tests.scripted_server import completion

PAGE = (Path(__file__).parents[3] / "docs/scaffolds.md").read_text()
CODE = re.search(r"```python\n(.+?)```", PAGE, re.DOTALL).group(1)


@pytest.fixture
def example(tmp_path, monkeypatch):
    """The page's scaffold, in the registry as the program loads it."""
    (tmp_path / "self_refine.py").write_text(CODE)
    monkeypatch.setenv("RLM_SCAFFOLDS_DIR", str(tmp_path))
    before = dict(SCAFFOLDS)
    custom.add_to(SCAFFOLDS)
    try:
        yield SCAFFOLDS["self_refine"]
    finally:
        SCAFFOLDS.clear()
        SCAFFOLDS.update(before)


def test_every_setting_of_the_scaffolds_is_described_with_its_default():
    section = PAGE.split("## Settings\n")[1].split("\n## ")[0]
    rows = dict(re.findall(r"^\| (.+?) \| .+? \| (.+?) \|", section, re.MULTILINE))
    told = {name: default for names, default in rows.items() for name in re.findall(r"`(\w+)`", names)}
    for scaffold in SCAFFOLDS.values():
        for name, field in scaffold.settings_type.model_fields.items():
            assert name in told
            if isinstance(field.default, bool):
                assert told[name] == str(field.default).lower()
            elif isinstance(field.default, int | float):
                assert float(told[name]) == field.default


def test_every_scaffold_and_every_capability_is_listed():
    for key, scaffold in SCAFFOLDS.items():
        assert f"| `{key}` | {scaffold.title} |" in PAGE
    declared = [name for name in vars(registry.Scaffold) if not name.startswith("_") and name != "settings"]
    facts = [
        name for name in declared if not callable(getattr(registry.Scaffold, name)) and name != "sub_llms_run_code"
    ]
    assert facts
    assert [name for name in facts if f"`{name}`" not in PAGE] == []


def test_the_example_is_short_and_runs(example, play):
    assert len(CODE.splitlines()) < 80
    settings = example.settings_type(reviews=2)
    answers = [completion("40"), completion("41"), completion("42")]
    told = play(steps(*answers), settings=settings, environment=PlainRiddle(PlainRiddle.settings_type()))
    assert (ended(told).stop_reason, ended(told).answer, ended(told).reward) == ("final_message", "42", 1.0)
    assert [len(request["messages"]) for request in play.requests] == [1, 3, 5]


def test_what_the_example_has_by_then_counts_where_the_budget_ends_it(example, play):
    settings = example.settings_type(reviews=5, max_tokens=1)
    told = play(steps(completion("42")), settings=settings, environment=PlainRiddle(PlainRiddle.settings_type()))
    assert (ended(told).stop_reason, ended(told).answer) == ("budget_tokens", "42")


def test_the_example_can_be_launched(example):
    spec = {
        "name": "x",
        "examples": 1,
        "models": ["demo-model"],
        "environments": ["verbatim-copy"],
        "scaffolds": ["llm", {"name": "self_refine", "reviews": 3}],
    }
    arm = resolve(spec).arms[1]
    assert (arm.scaffold, arm.scaffold_settings.reviews, arm.needs_sandbox) == ("self_refine", 3, False)
