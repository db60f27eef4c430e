"""Limits are enforced at the moment of the call."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal

import pytest

from rlm_runs.engine.budget import Budget, BudgetLimits
from rlm_runs.engine.cancellation import CancellationToken
from rlm_runs.engine.clients.base import Completion
from rlm_runs.engine.clients.budgeted import BudgetedClient
from rlm_runs.engine.errors import BudgetSpent, ModelFailure
from rlm_runs.engine.events import Usage


def reason_of(budget):
    with pytest.raises(BudgetSpent) as caught:
        budget.check()
    return caught.value.stop_reason


def test_no_limit_is_no_limit():
    budget = Budget(BudgetLimits())
    budget.charge(Usage(prompt=10**9, completion=10**9), Decimal(10**6))
    budget.check()


def test_tokens_are_prompt_and_completion_together():
    budget = Budget(BudgetLimits(tokens=100))
    budget.charge(Usage(prompt=60, completion=39), None)
    budget.check()
    budget.charge(Usage(prompt=1, completion=None), None)
    assert reason_of(budget) == "budget_tokens"


def test_dollars_are_exact():
    budget = Budget(BudgetLimits(dollars=Decimal("0.3")))
    for _ in range(3):
        budget.check()
        budget.charge(Usage(), Decimal("0.1"))
    assert reason_of(budget) == "budget_dollars"


def test_time_runs_out():
    assert reason_of(Budget(BudgetLimits(seconds=0))) == "deadline"


def test_sub_calls_are_counted_when_they_begin():
    budget = Budget(BudgetLimits(sub_calls=2))
    budget.take_sub_call()
    budget.take_sub_call()
    with pytest.raises(BudgetSpent, match="all 2 sub-LLM calls") as caught:
        budget.take_sub_call()
    assert caught.value.stop_reason == "budget_sub_calls"


def test_calls_in_flight_count_at_their_estimates():
    budget = Budget(BudgetLimits(tokens=100, dollars=Decimal(1)))
    with budget.reserved(Usage(prompt=60, completion=39), Decimal("0.99")):
        budget.check()
        with budget.reserved(Usage(prompt=1), Decimal(0)):
            assert reason_of(budget) == "budget_tokens"
        with budget.reserved(Usage(), Decimal("0.01")):
            assert reason_of(budget) == "budget_dollars"
    budget.check()


class Answers:
    """A client that answers with this usage, or fails with this."""

    def __init__(self, outcome):
        self.outcome = outcome

    def complete(self, **_):
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return Completion(usage=self.outcome)


def after(outcome, *, price=Decimal(1)):
    """The budget that one call leaves, which is estimated at more than 500 tokens and a dollar."""
    budget = Budget(BudgetLimits(tokens=500, dollars=Decimal("0.5")))
    client = BudgetedClient(
        Answers(outcome), budget, dollars=lambda _, usage: None if usage.completion is None else price
    )
    with suppress(ModelFailure):
        client.complete(model="of-test-budget", messages=[], sampling={}, control=CancellationToken())
    return budget


def test_what_is_not_known_counts_at_its_estimate():
    assert reason_of(after(Usage())) == "budget_tokens"
    unknown = ModelFailure("the connection broke")
    unknown.cost = None
    assert reason_of(after(unknown)) == "budget_tokens"
    after(ModelFailure("refused")).check()
    after(Usage(prompt=1, completion=1)).check()  # the conversation charges what is known
