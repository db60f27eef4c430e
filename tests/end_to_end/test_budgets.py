"""Budgets of experiments over two worker processes, counted at the server."""

from __future__ import annotations

import threading
import time
from decimal import Decimal

import pytest
from django.db.models import Sum

from rlm_runs.execution.spending import ledger
from rlm_runs.models import Experiment, ExperimentAction, Rollout, Turn
from tests.scripted_server import ScriptedServer, cell, completion

ENDPOINTS = """
[scripted]
title = "Scripted"
base_url = "{url}"
models = [
  {{ name = "dear", price = {{ prompt = "1000", cached = "1000", completion = "1000" }} }},
  {{ name = "unpriced" }},
]
"""
SPEC = """
name = "budget"
examples = {examples}
models = ["dear"]
scaffolds = ["rlm"]
environments = ["verbatim-copy"]
[budget]
{budget}
"""
CALL = {"prompt_tokens": 90, "completion_tokens": 10}
"""The usage of each call: 100 tokens, 0.1 dollars."""


@pytest.fixture
def start(make_system, tmp_path):
    def start(server, **variables):
        path = tmp_path / "endpoints.toml"
        path.write_text(ENDPOINTS.format(url=server.url))
        return make_system(RLM_ENDPOINTS_FILE=str(path), RLM_PROCESS_SANDBOX_MODELS="dear,unpriced", **variables)

    return start


def four_turns(request):
    """Three cells and an answer."""
    time.sleep(0.2)
    turns = sum(message["role"] == "assistant" for message in request["messages"])
    last = cell('answer["content"] = "x"; answer["ready"] = True')
    return (cell(f"print({turns})") if turns < 3 else last) | {"usage": CALL}


def test_an_experiment_stops_at_its_budget_and_goes_on_when_it_is_raised(start):
    """16 rollouts of 4 calls cost 6.40; the first budget is 3.00."""
    with ScriptedServer(four_turns) as server:
        system = start(server)
        experiment = system.launch(SPEC.format(examples=16, budget="dollars = 3.0"), "--no-probe")
        system.start_worker(concurrency=4)
        system.start_worker(concurrency=4)
        system.wait_for(lambda: Experiment.objects.get(pk=experiment.pk).paused_by_budget)
        system.wait_for(lambda: not experiment.rollouts().filter(status="running").exists())
        calls = len(server.requests)
        spent = Turn.objects.aggregate(Sum("cost"))["cost__sum"]
        assert spent == Decimal("0.1") * calls <= 3  # every call is stored, and none is beyond the budget
        assert spent >= Decimal("2.3")
        assert ledger.standing(experiment.pk).spent.dollars == spent
        assert not experiment.rollouts().filter(status="failed").exists()
        (action,) = ExperimentAction.objects.filter(experiment=experiment, action="budget reached")
        assert "of $3.00 spent" in action.details["budget"]
        time.sleep(2)
        assert len(server.requests) == calls

        system.manage("control", experiment.slug, "budget", "--dollars", "20")
        rollouts = system.wait_until_ended(experiment)
    assert {rollout.status for rollout in rollouts} == {Rollout.Status.COMPLETED}
    assert ledger.standing(experiment.pk).spent.dollars == Turn.objects.aggregate(Sum("cost"))["cost__sum"]
    system.manage("check_store")


def test_a_token_budget_holds_while_many_calls_are_in_flight(start):
    """Estimates are learned, so that calls in flight are counted before they end."""
    lock, busy, most = threading.Lock(), [0], [0]

    def slow(request):
        with lock:
            busy[0] += 1
            most[0] = max(most[0], busy[0])
        time.sleep(0.5)
        with lock:
            busy[0] -= 1
        return completion("x") | {"usage": {"prompt_tokens": 900, "completion_tokens": 100}}

    with ScriptedServer(slow) as server:
        system = start(server)
        spec = SPEC.format(examples=200, budget="tokens = 60000").replace('"rlm"', '"llm"')
        experiment = system.launch(spec, "--no-probe")
        system.start_worker(concurrency=10)
        system.start_worker(concurrency=10)
        system.wait_for(lambda: Experiment.objects.get(pk=experiment.pk).paused_by_budget)
        system.wait_for(lambda: not experiment.rollouts().filter(status="running").exists())
        calls = len(server.requests)
    assert most[0] > 10
    assert 50 <= calls <= 62
    assert not experiment.rollouts().filter(status="failed").exists()


def test_an_experiment_stops_when_its_hours_are_over(start):
    with ScriptedServer(four_turns) as server:
        system = start(server)
        experiment = system.launch(SPEC.format(examples=100, budget="hours = 0.001"), "--no-probe")
        system.start_worker(concurrency=2)
        system.wait_for(lambda: Experiment.objects.get(pk=experiment.pk).paused_by_budget)
        system.wait_for(lambda: not experiment.rollouts().filter(status="running").exists())
    assert 3.6 <= ledger.standing(experiment.pk).seconds < 60
    assert not experiment.rollouts().filter(status="failed").exists()
