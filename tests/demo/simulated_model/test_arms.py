"""The scaffolds differ as intended on the demo experiment."""

import tomllib
from pathlib import Path

import pytest

from rlm_runs.engine.environments.registry import REGISTRY

from .harness import directly, play, reward

SPEC = Path(__file__).parents[3] / "specs/demo.toml"
EXAMPLES_PER_SEED = 10
SEEDS = range(100, 120)
# Bounds of the mean reward over all seeds: wide, since what matters is the order.
MEANS = {
    ("verbatim-copy", "llm"): (0.4, 0.72),
    ("verbatim-copy", "rlm"): (0.6, 0.88),
    ("verbatim-copy", "rlm_tips"): (0.8, 1.0),
    ("needle-in-haystack", "llm"): (0.3, 0.65),
    ("needle-in-haystack", "rlm"): (0.7, 0.95),
    ("needle-in-haystack", "rlm_tips"): (0.88, 1.0),
    ("oolong", "llm"): (0.1, 0.35),
    ("oolong", "rlm"): (0.3, 0.6),
    ("oolong", "rlm_tips"): (0.65, 0.95),
    ("deepdive", "llm"): (0.4, 0.65),
    ("deepdive", "rlm"): (0.62, 0.88),
    ("deepdive", "rlm_tips"): (0.85, 1.0),
    ("math-python", "llm"): (0.45, 0.75),
    ("math-python", "rlm"): (0.6, 0.85),
    ("math-python", "rlm_tips"): (0.85, 1.0),
}


def demo_environments():
    environments = []
    for entry in tomllib.loads(SPEC.read_text())["environments"]:
        settings = {} if isinstance(entry, str) else {k: v for k, v in entry.items() if k != "name"}
        environment = REGISTRY[entry if isinstance(entry, str) else entry["name"]]
        environments.append(environment(environment.settings_type(**settings)))
    return environments


@pytest.mark.parametrize("environment", demo_environments(), ids=lambda environment: environment.name)
def test_over_many_seeds_each_scaffold_beats_the_one_before(environment):
    examples = [e for seed in SEEDS for e in environment.load(n=EXAMPLES_PER_SEED, seed=seed)]
    means = []
    for scaffold in ("llm", "rlm", "rlm_tips"):
        played = [play(environment, example, scaffold, ask=directly()) for example in examples]
        rewards = [reward(environment, e, p.answer, ask=directly()) for e, p in zip(examples, played, strict=True)]
        means.append(sum(rewards) / len(rewards))
        low, high = MEANS[environment.name, scaffold]
        assert low <= means[-1] <= high
    assert means[0] + 0.05 < means[1] < means[2] - 0.05


@pytest.mark.parametrize("name", ["needle-in-haystack", "oolong"])
def test_some_prompts_of_the_llm_are_too_long_for_the_demo_model_s_window(name):
    environment = next(e for e in demo_environments() if e.name == name)
    played = [play(environment, e, "llm", ask=directly()) for e in environment.load(n=40, seed=7)]
    refused = sum(p.ended == "prompt_too_long" for p in played)
    assert 2 <= refused <= 20
