"""Properties of every environment."""

import dataclasses
import time

import pytest
from pydantic import ValidationError

from rlm_runs.engine.environments.base import Environment, Settings
from rlm_runs.engine.environments.registry import REGISTRY

VARIANTS = {
    "deepdive": [
        {},
        {"trails": 1},
        {"pages": 100, "world_seed": 9, "trails": 3, "hops_min": 6, "hops_max": 6},
    ],
    "verbatim-copy": [
        {},
        *({"content_type": kind} for kind in ("words", "json", "csv", "codes", "mixed")),
        {"mean_fragment_length": None},
        {"mean_fragment_length": "none", "target_length": 1000},
        {"target_length": 20, "mean_fragment_length": 150},
    ],
    "needle-in-haystack": [
        {"lines": 50},
        {"lines": 60, "needles": 10, "needle_type": "numeric"},
        {"lines": 40, "needles": 1, "position": 0.0, "variance": 0.0},
        {"lines": 30, "needles": 15, "position": 1.0},
        {"lines": 100, "lines_spread": 0.9, "position": "none"},
    ],
    "oolong": [
        {},
        {"labels": True},
        {"context_length_min": 500, "context_length_max": 500},
        {"context_length_min": 3000, "context_length_max": 300_000, "scoring": "exact"},
        {"scoring": "judge"},
    ],
    "math-python": [{}, {"source": "generated"}],
}

MONSTERS = [
    "x" * 1_000_000,
    "\\boxed{" * 100_000,
    "answer: " * 100_000,
    "answer" + " " * 1_000_000,
    "1," * 400_000,
]

CASES = [
    pytest.param(name, settings, id=f"{name}-{number}")
    for name, variants in VARIANTS.items()
    for number, settings in enumerate(variants)
]


def made(name: str, settings: dict) -> Environment:
    environment = REGISTRY[name]
    return environment(environment.settings_type(**settings))


def test_the_registry_has_the_public_names():
    assert {name: environment.name for name, environment in REGISTRY.items()} == {name: name for name in VARIANTS}


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_gold_answers_score_one(name, settings):
    environment = made(name, settings)
    for example in environment.load(n=12, seed=3):
        assert environment.score(example, example.answer).reward == 1


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_no_answer_and_a_wrong_answer_score_nothing(name, settings):
    environment = made(name, settings)
    for example in environment.load(n=6, seed=3):
        for answer in ("", "I do not know.", "\x00\ud800", "\\boxed{", "{" * 500):
            score = environment.score(example, answer)
            assert score.reward == 0
            assert all(0 <= value <= 1 for value in score.metrics.values())


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_examples_follow_from_settings_and_seed_and_fewer_are_a_prefix_of_more(name, settings):
    ten = list(made(name, settings).load(n=10, seed=7))
    assert list(made(name, settings).load(n=10, seed=7)) == ten
    assert list(made(name, settings).load(n=4, seed=7)) == ten[:4]
    assert list(made(name, settings).load(n=10, seed=8)) != ten


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_examples_are_distinct(name, settings):
    examples = made(name, settings).load(n=10, seed=7)
    assert len({(example.prompt, example.input_data) for example in examples}) == 10


@pytest.mark.parametrize("name", ["needle-in-haystack", "oolong"])
def test_the_prompt_beside_the_input_data_does_not_hold_the_answer(name):
    for example in made(name, {}).load(n=10, seed=7):
        if example.metadata.get("answer_type", "word") in ("word", "user", "date"):
            assert not any(part in example.prompt for part in example.answer.split(", ") if len(part) > 4)


@pytest.mark.parametrize("name", REGISTRY)
def test_every_setting_says_what_it_is_and_settings_are_frozen(name):
    settings = REGISTRY[name].settings_type()
    assert all(field.description for field in type(settings).model_fields.values())
    field = next(iter(type(settings).model_fields))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(settings, field, getattr(settings, field))


@pytest.mark.parametrize("name", REGISTRY)
def test_every_environment_has_a_title_a_description_and_tips(name):
    environment = REGISTRY[name]
    assert environment.title
    assert environment.description.endswith(".")
    assert all(text.strip() for text in environment.tips.values())
    assert environment.tips


@pytest.mark.parametrize(
    ("name", "settings", "says"),
    [
        ("verbatim-copy", {"content_type": "poems"}, "'words', 'json', 'csv', 'codes', 'mixed' or 'all'"),
        ("verbatim-copy", {"target_length": -1}, "greater than or equal to 20"),
        ("verbatim-copy", {"mean_fragment_length": 0}, "greater than or equal to 2"),
        ("verbatim-copy", {"target_length": "none"}, "valid integer"),
        ("verbatim-copy", {"length": 5}, "Extra inputs are not permitted"),
        ("needle-in-haystack", {"needle_type": "pin"}, "'word' or 'numeric'"),
        ("needle-in-haystack", {"lines": 10, "needles": 6}, "10 lines takes 5"),
        ("needle-in-haystack", {"position": 1.5}, "less than or equal to 1"),
        ("deepdive", {"hops_min": 4}, "greater than hops_max"),
        ("oolong", {"subset": "fake"}, "'generated', 'local', 'synth', 'synth_with_labels' or 'real'"),
        ("oolong", {"subset": "local"}, "needs `path`"),
        ("oolong", {"context_length_min": 9000, "context_length_max": 8000}, "greater than context_length_max"),
        ("math-python", {"source": "local"}, "needs `path`"),
        ("math-python", {"source": "generated", "path": "x"}, "`path` is for the source 'local'"),
        ("math-python", {"file": "x"}, "Extra inputs are not permitted"),
    ],
)
def test_settings_out_of_range_are_refused_with_what_is_allowed(name, settings, says):
    with pytest.raises(ValidationError) as caught:
        REGISTRY[name].settings_type(**settings)
    assert says in str(caught.value)


def test_none_by_name_is_for_settings_that_may_be_none_only():
    class Some(Settings):
        name: str = ""
        length: int | None = 3

    assert Some(name="none", length=" None ") == Some(name="none", length=None)


def test_examples_can_be_sent_through_json():
    import json

    for name in REGISTRY:
        for example in made(name, {}).load(n=2, seed=1):
            as_dict = dataclasses.asdict(example)
            assert json.loads(json.dumps(as_dict)) == as_dict


@pytest.mark.parametrize("name", REGISTRY)
@pytest.mark.parametrize("answer", MONSTERS, ids=range(len(MONSTERS)))
def test_a_monstrous_answer_is_scored_in_little_time(name, answer):
    environment = made(name, {})
    example = environment.load(n=1, seed=1)[0]
    began = time.monotonic()
    assert environment.score(example, answer).reward == 0
    assert time.monotonic() - began < 20
