"""Scoring: gives an answer its score, at the end of a rollout or again later."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from .budget import Budget, BudgetLimits
from .cancellation import CancellationToken
from .environments.base import Environment, Example, Score
from .events import Event
from .judge import verdict_on
from .rollout_context import Model, Models, Price, RolloutContext


def score_answer(environment: Environment[Any], example: Example, answer: str, *, run: RolloutContext) -> Score:
    """Returns the environment's score. If the environment wants a judge, the verdict is the reward."""
    score = environment.score(example, answer)
    prompt = environment.judge_prompt(example, answer)
    if prompt is None:
        return score
    return replace(score, reward=float(verdict_on(prompt, run=run)))


def score_again(
    environment: Environment[Any],
    example: Example,
    answer: str,
    *,
    judge: Model,
    record: Callable[[Sequence[Event]], None],
    control: CancellationToken,
    price: Price,
) -> Score:
    """Scores a stored answer outside of its rollout. `record` gets the judge's events.

    Raises the environment's exceptions, NoVerdict and ModelFailure of the judge, and Stopped.
    """
    run = RolloutContext(
        models=Models(main=judge, sub=judge, judge=judge),
        budget=Budget(BudgetLimits()),
        control=control,
        record=record,
        price=price,
    )
    try:
        return score_answer(environment, example, answer, run=run)
    finally:
        run.record_events()
