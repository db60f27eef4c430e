"""Limits are enforced at the moment of the call."""

from __future__ import annotations

from decimal import Decimal

import pytest

from rlm_runs.engine.budget import Budget, BudgetLimits
from rlm_runs.engine.errors import BudgetSpent
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
