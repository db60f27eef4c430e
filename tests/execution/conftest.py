"""Rollouts in the store that a test can record into."""

from __future__ import annotations

import pytest

from rlm_runs.models import Arm, Example, Experiment, Rollout, Text


@pytest.fixture
def experiment(db):
    return Experiment.objects.create(slug="e", name="e", spec={}, seed=1)


@pytest.fixture
def arm(experiment):
    return Arm.objects.create(
        experiment=experiment,
        position=0,
        environment="oolong",
        scaffold="rlm",
        model="m",
        sub_model="m",
        endpoint="demo",
        settings_hash="00" * 32,
    )


@pytest.fixture
def make_rollout(arm):
    def make(**columns):
        number = Rollout.objects.count()
        prompt, gold = Text.objects.keep([f"question {number}", "gold"])
        example = Example.objects.create(
            environment="oolong", content_hash=f"{number:064x}", prompt_id=prompt, answer_id=gold
        )
        columns = {"status": Rollout.Status.RUNNING, "attempt": 1, "worker": "w"} | columns
        return Rollout.objects.create(arm=arm, example=example, example_position=number, **columns)

    return make


@pytest.fixture
def rollout(make_rollout):
    return make_rollout()
