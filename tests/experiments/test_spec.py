"""A spec is checked as a whole; every problem names its field and the allowed values."""

from __future__ import annotations

import json
import tomllib

import pytest
from pydantic import BaseModel, ConfigDict

from dashboard.launch.form import as_toml
from rlm_runs.engine.environments.base import Environment, Score, Settings
from rlm_runs.engine.environments.registry import REGISTRY
from rlm_runs.experiments.launch import arm_columns
from rlm_runs.experiments.plan import offline, resolve
from rlm_runs.experiments.problems import SpecError

GOOD = {
    "name": "ablation",
    "examples": 2,
    "models": ["demo-model"],
    "scaffolds": ["llm", {"name": "rlm", "cell_time_limit": 300}],
    "environments": ["verbatim-copy", {"name": "needle-in-haystack", "lines": 50}],
}


def problems_of(**changes):
    with pytest.raises(SpecError) as caught:
        resolve({key: value for key, value in (GOOD | changes).items() if value is not None})
    return {problem.field: problem.message for problem in caught.value.problems}


def test_arms_are_the_cross_product_with_every_default_written_out():
    plan = resolve(GOOD | {"scaffolds": ["llm", "rlm", "rlm_tips"]})
    assert [(arm.environment.name, arm.scaffold) for arm in plan.arms] == [
        (environment, scaffold)
        for environment in ("verbatim-copy", "needle-in-haystack")
        for scaffold in ("llm", "rlm", "rlm_tips")
    ]
    rlm = plan.arms[1].scaffold_settings.model_dump()
    article = {"cell_time_limit": 120, "output_limit": 8192, "sub_parallelism": 5, "sub_max_turns": 5, "depth": 1}
    assert rlm | article | {"context_warning": 0.8, "max_turns": None} == rlm
    assert {name: environment.max_turns for name, environment in REGISTRY.items()} == {
        "deepdive": 50, "verbatim-copy": 30, "needle-in-haystack": 30, "oolong": 30, "math-python": 30
    }  # fmt: skip
    assert plan.arms[3].environment.settings.model_dump()["lines"] == 50


def test_settings_of_an_entry_reach_its_arms_only():
    limits = [arm.scaffold_settings.cell_time_limit for arm in resolve(GOOD).arms]
    assert limits == [120, 300, 120, 300]


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"name": None}, "name", "is missing"),
        ({"name": "  "}, "name", "must not be blank"),
        ({"examples": 0}, "examples", "must be a whole number from 1 to 100,000, not 0"),
        ({"examples": -3}, "examples", "from 1 to 100,000, not -3"),
        ({"examples": "many"}, "examples", "must be a whole number from 1 to 100,000, not 'many'"),
        ({"repetitions": 0}, "repetitions", "from 1 to 1,000"),
        ({"seed": -1}, "seed", "must be a whole number of at least 0, not -1"),
        ({"seed": 2**70}, "seed", "must be below 9,223,372,036,854,775,808"),
        ({"models": []}, "models", "must not be empty"),
        ({"models": "demo-model"}, "models", "must be a list"),
        (
            {"models": ["demo-mode"]},
            "models[0]",
            "unknown model 'demo-mode' (did you mean demo-model?); allowed: demo-model, ",
        ),
        ({"sub_model": "nobody"}, "sub_model", "unknown model 'nobody'"),
        ({"scaffolds": []}, "scaffolds", "must not be empty"),
        (
            {"scaffolds": ["rml"]},
            "scaffolds[0].name",
            "unknown scaffold 'rml' (did you mean rlm?); allowed: llm, rlm",
        ),
        ({"scaffolds": [3]}, "scaffolds[0]", "must be a name, or a table"),
        ({"scaffolds": [{"cell_time_limit": 3}]}, "scaffolds[0].name", "is missing"),
        (
            {"scaffolds": [{"name": "rlm", "cell_limit": 3}]},
            "scaffolds[0].cell_limit",
            "did you mean cell_time_limit?",
        ),
        ({"scaffolds": [{"name": "rlm", "max_turns": -1}]}, "scaffolds[0].max_turns", "not -1"),
        ({"scaffolds": [{"name": "rlm_tips", "tips": "x"}]}, "scaffolds[0].tips", "allowed: "),
        ({"environments": []}, "environments", "must not be empty"),
        ({"environments": ["oolng"]}, "environments[0].name", "did you mean oolong?"),
        (
            {"environments": [{"name": "verbatim-copy", "content_type": "wrds"}]},
            "environments[0].content_type",
            "must be one of words, json, csv, codes, mixed, all, not 'wrds' (did you mean words?)",
        ),
        ({"environments": [{"name": "oolong", "speed": 1}]}, "environments[0].speed", "unknown setting 'speed'"),
        ({"sampling": {"temperature": -1}}, "sampling.temperature", "must be a number from 0 to 2, not -1"),
        ({"sampling": 3}, "sampling", "must be a table"),
        ({"sampling": {"temprature": 1}}, "sampling.temprature", "did you mean temperature?"),
        ({"models": [{"name": "demo-model", "temperature": 3}]}, "models[0].temperature", "from 0 to 2, not 3"),
        ({"models": ["demo-model", {"top_p": 1}]}, "models[1].name", "is missing"),
        ({"models": ["demo-model", 7]}, "models[1]", "must be a name, or a table with a name and settings"),
        (
            {"models": [{"name": "demo-model", "submodel": "x"}]},
            "models[0].submodel",
            "unknown setting 'submodel' (did you mean sub_model?); allowed: temperature, ",
        ),
        ({"models": [{"name": "demo-model", "sub_model": "x"}]}, "models[0].sub_model", "unknown model 'x'"),
        ({"models": [{"name": "demo-model", "judge_model": "x"}]}, "models[0].judge_model", "unknown model 'x'"),
        ({"models": ["demo-model"] * 2}, "models[1]", "makes the same arms as entry 1 of models"),
        (
            {"models": [{"name": "demo-model", "top_p": 0.5}, "demo-model"], "sampling": {"top_p": 0.5}},
            "models[1]",
            "makes the same arms as entry 1 of models",
        ),
        ({"scaffolds": ["rlm", {"name": "rlm", "depth": 1}]}, "scaffolds[1]", "as entry 1 of scaffolds"),
        ({"environments": ["oolong", "verbatim-copy", "oolong"]}, "environments[2]", "as entry 1 of environments"),
        ({"scaffolds": [{"name": "llm", "max_seconds": float("inf")}]}, "scaffolds[0].max_seconds", "finite"),
        ({"modles": ["demo-model"]}, "modles", "did you mean models?"),
    ],
)
def test_a_problem_names_its_field_and_what_is_allowed(changes, field, said):
    found = problems_of(**changes)
    assert list(found) == [field]
    assert said in found[field]


def test_all_problems_are_told_at_once():
    found = problems_of(scaffolds=["x"], environments=["y", {"name": "oolong", "z": 1}], models=["m"])
    assert list(found) == ["models[0]", "environments[0].name", "environments[1].z", "scaffolds[0].name"]


def test_a_model_whose_key_is_not_set_is_refused(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    assert "set OPENAI_API_KEY" in problems_of(models=["gpt-5-mini"])["models[0]"]
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    assert resolve(GOOD | {"models": ["gpt-5-mini"]}).arms[0].model.endpoint.name == "openai"


def test_sub_model_and_judge_may_be_served_elsewhere(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    arm = resolve(GOOD | {"sub_model": "gpt-5-mini", "judge_model": "gpt-4.1-mini"}).arms[0]
    assert arm.model.endpoint.name == "demo"
    assert (arm.sub_model.name, arm.judge_model.name) == ("gpt-5-mini", "gpt-4.1-mini")


def test_where_sub_llms_run_code_their_model_counts_too():
    deep = GOOD | {"scaffolds": ["llm", "rlm", {"name": "rlm", "depth": 2}], "environments": ["verbatim-copy"]}
    assert [len(arm.coders) for arm in resolve(deep).arms] == [0, 1, 2]


def test_offline_puts_generated_data_in_the_place_of_those_of_the_net():
    there = [
        "verbatim-copy",
        {"name": "oolong", "subset": "real", "scoring": "judge"},
        {"name": "oolong", "subset": "synth", "scoring": "judge"},
        {"name": "oolong", "subset": "synth_with_labels"},
        {"name": "math-python", "source": "huggingface"},
    ]
    assert offline(GOOD | {"environments": there})["environments"] == [
        {"name": "verbatim-copy"},
        {"name": "oolong", "subset": "generated", "scoring": "judge", "labels": False},
        {"name": "oolong", "subset": "generated", "labels": True},
        {"name": "math-python", "source": "generated"},
    ]


def test_sampling_of_a_model_goes_before_that_of_the_experiment_name_by_name():
    spec = GOOD | {
        "scaffolds": ["llm"],
        "environments": ["verbatim-copy"],
        "sampling": {"temperature": 1, "top_p": 0.9, "extra_body": {"a": 1, "b": 1}},
        "models": [
            "demo-model",
            {"name": "demo-model", "temperature": 0.2},
            {"name": "demo-model", "reasoning_effort": "low", "extra_body": {"b": 2}},
        ],
    }
    arms = resolve(spec).arms
    assert [arm.sampling.given for arm in arms] == [
        {"temperature": 1, "top_p": 0.9, "extra_body": {"a": 1, "b": 1}},
        {"temperature": 0.2, "top_p": 0.9, "extra_body": {"a": 1, "b": 1}},
        {"temperature": 1, "top_p": 0.9, "reasoning_effort": "low", "extra_body": {"a": 1, "b": 2}},
    ]
    assert len({arm_columns(arm)["settings_hash"] for arm in arms}) == 3


def test_an_entry_of_a_model_may_name_its_own_sub_model_and_judge(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    own = {"name": "gpt-5", "sub_model": "gpt-5-nano", "judge_model": "gpt-4.1-mini"}
    spec = GOOD | {"models": ["gpt-5", own], "sub_model": "gpt-5-mini", "scaffolds": ["rlm"]}
    first, second = resolve(spec).arms[:2]
    assert (first.sub_model.name, first.judge_model.name) == ("gpt-5-mini", "gpt-5")
    assert (second.sub_model.name, second.judge_model.name) == ("gpt-5-nano", "gpt-4.1-mini")


def test_a_spec_as_it_is_written_can_be_launched_again_and_makes_the_same_arms(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    spec = GOOD | {
        "models": ["demo-model", {"name": "demo-model", "temperature": 0.5, "sub_model": "gpt-5-nano"}],
        "sampling": {"top_p": 0.5, "extra_body": {"provider": {"only": ["x y"]}}},
        "scaffolds": [
            "llm",
            {"name": "rlm", "max_turns": None, "max_dollars": 0.5, "packages": {"numpy>=2": "arrays"}},
        ],
        "environments": [{"name": "verbatim-copy", "mean_fragment_length": None}, "oolong"],
    }
    plan = resolve(spec)
    written = plan.spec.written()
    assert written["models"][0] == "demo-model"
    assert written["environments"] == [{"name": "verbatim-copy", "mean_fragment_length": "none"}, "oolong"]
    hashes = [arm_columns(arm)["settings_hash"] for arm in plan.arms]
    for again in (json.loads(json.dumps(written)), tomllib.loads(as_toml(written))):
        assert [arm_columns(arm)["settings_hash"] for arm in resolve(again).arms] == hashes
        assert resolve(again).spec.written() == written


def test_none_by_name_is_for_scaffolds_too():
    arm = resolve(GOOD | {"scaffolds": [{"name": "rlm", "max_turns": "none"}]}).arms[0]
    assert arm.scaffold_settings.max_turns is None


def test_a_setting_that_is_a_table_of_an_environment_of_ones_own_is_refused_in_words(monkeypatch):
    class Inner(BaseModel):
        model_config = ConfigDict(extra="forbid")
        a: int = 1

    class OwnSettings(Settings):
        inner: Inner = Inner()

    class Own(Environment[OwnSettings]):
        name, title, description, settings_type = "own", "Own", "For this test.", OwnSettings

        def load(self, *, n, seed):
            return []

        def score(self, example, answer):
            return Score(0)

    monkeypatch.setitem(REGISTRY, "own", Own)
    found = problems_of(environments=[{"name": "own", "inner": {"b": 1}}])
    assert found == {"environments[0].inner.b": "unknown setting 'b'"}
