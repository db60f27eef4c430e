"""Experiments whose rollouts are rows without traces: fast, for tests of numbers."""

import random
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal

from django.utils import timezone

from rlm_runs.analysis import aggregates
from rlm_runs.models import Arm, Example, Experiment, Rollout, Text
from rlm_runs.models.texts import digest


@dataclass
class Plan:
    """One arm to be made: `examples` are the metadata of its environment's examples."""

    environment: str = "oolong"
    scaffold: str = "llm"
    environment_settings: dict = field(default_factory=dict)
    scaffold_settings: dict = field(default_factory=dict)
    model: str = "m"
    sampling: dict = field(default_factory=dict)


def make(plans, *, examples=8, metadata=lambda number: {}, repetitions=1, seed=1, row=None, name="made"):
    """All arms on `examples` examples each. `row` gives the columns of a rollout from (rng, arm, number)."""
    slug = f"made-{Experiment.objects.count()}"
    experiment = Experiment.objects.create(slug=slug, name=name, spec={}, seed=seed)
    rng = random.Random(seed)
    sets = {}
    rollouts = []
    for position, plan in enumerate(plans):
        arm = Arm.objects.create(
            experiment=experiment,
            position=position,
            sub_model=plan.model,
            endpoint="e",
            settings_hash=digest(f"{slug} {position}"),
            **vars(plan),
        )
        key = f"{plan.environment} {sorted(plan.environment_settings.items(), key=repr)}"
        if key not in sets:
            sets[key] = [_example(plan.environment, f"{slug} {key} {at}", metadata(at)) for at in range(examples)]
        for number, example in enumerate(sets[key]):
            rollouts += [
                _rollout(arm, example, number, repetition, (row or varied)(rng, arm, number))
                for repetition in range(repetitions)
            ]
    Rollout.objects.bulk_create(rollouts)
    return experiment


def _example(environment, key, metadata):
    prompt, answer = Text.objects.keep([f"prompt {key}", "answer"])
    return Example.objects.create(
        environment=environment, content_hash=digest(key), prompt_id=prompt, answer_id=answer, metadata=metadata
    )


def _rollout(arm, example, number, repetition, columns):
    now = timezone.now()
    ended = columns.get("status", "completed") not in ("queued", "running")
    return Rollout(
        arm=arm,
        example=example,
        example_position=number,
        repetition=repetition,
        attempt=0 if columns.get("status") == "queued" else 1,
        started_at=now - timedelta(minutes=1) if ended else None,
        finished_at=now if ended else None,
        **{"status": "completed", "stop_reason": "answer_ready", **columns},
    )


def varied(rng, arm, number):
    """Every kind of outcome: too long, failed, unjudged, unfinished, unpriced, unknown values."""
    dice = rng.random()
    columns = {
        "main_prompt_tokens": rng.randrange(500, 90_000),
        "main_completion_tokens": rng.randrange(10, 5_000),
        "sub_prompt_tokens": 0 if arm.scaffold == "llm" else rng.randrange(9_000),
        "sub_completion_tokens": 0 if arm.scaffold == "llm" else rng.randrange(900),
        "sub_calls": 0 if arm.scaffold == "llm" else rng.randrange(40),
        "seconds": rng.uniform(1, 500),
        "cost": None if dice < 0.1 else Decimal(rng.randrange(1, 9_000)) / 10_000,
        "metrics": {"exact_match": float(rng.random() < 0.5)},
        "turns": rng.randrange(1, 20),
    }
    if arm.scaffold == "llm" and dice > 0.8:
        return {**columns, "status": "failed", "stop_reason": "prompt_too_long", "main_prompt_tokens": 0}
    if dice > 0.95:
        return {**columns, "status": "failed", "stop_reason": "model_error"}
    if dice > 0.92:
        return {**columns, "stop_reason": "unjudged"}
    if dice > 0.9:
        return {"status": "queued", "stop_reason": ""}
    return {**columns, "reward": rng.choice([0.0, 0.0, 1.0, 1.0, 0.25])}


def snapshot(experiment):
    """The experiment read again, without what the process keeps."""
    aggregates.forget()
    return aggregates.snapshot(experiment)
