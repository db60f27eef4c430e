"""The experiment page and the API say what an experiment waits for: a budget, or a model that fails."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from rlm_runs.execution import queue
from rlm_runs.execution.circuit_settings import CircuitSettings
from rlm_runs.execution.circuits import store
from rlm_runs.execution.spending import ledger
from rlm_runs.execution.spending.amounts import Amount
from rlm_runs.execution.spending.budget_control import pause_at_budget
from rlm_runs.experiments.launch import launch
from rlm_runs.experiments.problems import SpecError
from rlm_runs.experiments.remaining import budget_standing
from rlm_runs.models import Circuit, ExperimentAction, ExperimentSpending, Rollout

SPEC = {
    "name": "lab",
    "examples": 4,
    "models": ["demo-model"],
    "scaffolds": ["llm"],
    "environments": ["verbatim-copy"],
    "budget": {"dollars": 2.5, "hours": 3},
}
RULES = CircuitSettings(in_a_row=1, for_seconds=0)


@pytest.fixture(autouse=True)
def no_broker(monkeypatch):
    monkeypatch.setattr(queue.current_app, "send_task", lambda *_, **__: None)


@pytest.fixture
def lab(db):
    """Two rollouts of four have ended, at 0.5 dollars and 300 tokens each."""
    experiment = launch(SPEC)
    ended = experiment.rollouts().order_by("id").values_list("pk", flat=True)[:2]
    Rollout.objects.filter(pk__in=list(ended)).update(
        status="completed", stop_reason="final_message", reward=1, cost=Decimal("0.5"), main_prompt_tokens=300
    )
    ExperimentSpending.objects.create(
        experiment=experiment, process="w", dollars=Decimal(1), tokens=600, unpriced_calls=1
    )
    ExperimentSpending.objects.create(experiment=experiment, process="", seconds=3600)
    return experiment


def page(reader, experiment):
    return reader.get(experiment.get_absolute_url()).content.decode()


def api(reader, experiment):
    return json.loads(reader.get(reverse("api-experiment", args=[experiment.slug])).content)


def test_the_standing_has_what_is_spent_what_remains_and_what_the_rest_takes(lab):
    dollars, tokens, hours = budget_standing(lab).lines
    assert (dollars.limit, dollars.spent, dollars.left, dollars.rest) == (Decimal("2.5"), 1, Decimal("1.5"), 1)
    assert (tokens.limit, tokens.spent, tokens.left, tokens.rest) == (None, 600, None, 600)
    assert (hours.limit, hours.spent, hours.left, hours.rest) == (3, 1, 2, 1)
    assert not any(line.is_short for line in (dollars, tokens, hours))


def test_page_and_api_show_the_budget(reader, lab):
    text = page(reader, lab)
    for words in ("Budget</h2>", "$2.50", "$1.50", "2.00 h", "1 call of unknown cost counts at its estimate"):
        assert words in text, words
    assert "budget is reached" not in text
    budget = api(reader, lab)["budget"]
    assert {name: float(value) for name, value in budget["dollars"].items()} == {
        "limit": 2.5, "spent": 1.0, "remaining": 1.5, "rest": 1.0,
    }  # fmt: skip
    assert budget["rollouts_left"] == 2


def test_a_reached_budget_is_said_and_raising_it_goes_on(reader, lab):
    pause_at_budget(lab.pk, "$2.49 of $2.50 spent")
    text = page(reader, lab)
    assert "Paused: the budget is reached" in text
    assert "$2.49 of $2.50 spent. 2 rollouts remain" in text
    assert api(reader, lab)["paused_by_budget"] is True
    address = reverse("experiment-action", args=[lab.slug, "budget"])
    assert 'value="2.5"' in reader.get(address).content.decode()
    assert reader.post(address, {"dollars": "0.9", "hours": "3"}).status_code == 302
    lab.refresh_from_db()
    assert lab.paused_at is not None  # still more is spent
    assert reader.post(address, {"dollars": "9", "tokens": "none", "hours": "none"}).status_code == 302
    lab.refresh_from_db()
    assert (lab.paused_at, lab.paused_by_budget, lab.budget_dollars) == (None, False, 9)
    assert (lab.budget_tokens, lab.budget_hours) == (None, None)
    said = list(ExperimentAction.objects.filter(experiment=lab).values_list("action", "actor"))
    assert said[0] == ("resumed", "ada")
    assert ("budget reached", "worker") in said


@pytest.mark.parametrize("value", ["-1", "0", "much", "nan", "1e30"])
def test_a_budget_must_be_a_number_above_zero(lab, value):
    with pytest.raises(CommandError, match="dollars must be a number"):
        call_command("control", lab.slug, "budget", "--dollars", value)


def test_the_command_sets_budgets(lab, capsys):
    call_command("control", lab.slug, "budget", "--tokens", "1000", "--hours", "none")
    lab.refresh_from_db()
    assert (lab.budget_dollars, lab.budget_tokens, lab.budget_hours) == (Decimal("2.5"), 1000, None)


def unpriced(monkeypatch):
    from rlm_runs.execution.prices import Prices

    monkeypatch.setattr(Prices, "of", lambda *_, **__: None)


def test_a_dollar_budget_is_refused_for_a_model_without_a_price(lab, monkeypatch):
    unpriced(monkeypatch)
    with pytest.raises(SpecError) as refused:
        launch(SPEC | {"scaffolds": [{"name": "llm", "max_dollars": 1}]})
    assert [problem.field for problem in refused.value.problems] == ["scaffolds[0].max_dollars", "budget.dollars"]
    launch(SPEC | {"budget": {"tokens": 5}})
    with pytest.raises(CommandError, match="demo-model has no price"):
        call_command("control", lab.slug, "budget", "--dollars", "5")


def test_the_page_says_that_a_budget_cannot_be_enforced(reader, lab, monkeypatch):
    unpriced(monkeypatch)
    assert "demo-model has no price: a budget in dollars cannot be enforced" in page(reader, lab)


def test_a_model_that_fails_is_said_with_its_arms(reader, lab):
    before = reader.get(reverse("experiment-live", args=[lab.slug]), {"version": version(reader, lab)})
    assert before.status_code == 204
    known = version(reader, lab)
    store.report("demo-model", [False], error="HTTP 503: <b>down</b>", rules=RULES)
    assert reader.get(reverse("experiment-live", args=[lab.slug]), {"version": known}).status_code == 200
    text = page(reader, lab)
    assert "1 arm waits: demo-model fails" in text
    assert "HTTP 503: &lt;b&gt;down&lt;/b&gt;" in text
    (circuit,) = api(reader, lab)["circuits"]
    assert (circuit["model"], len(circuit["arms"])) == ("demo-model", 1)


def version(reader, experiment):
    return reader.get(experiment.get_absolute_url()).context["version"]


def test_the_workers_page_lists_it_and_closes_it(reader, lab):
    store.report("demo-model", [False], error="HTTP 503: down", rules=RULES)
    assert "Open circuits" in reader.get(reverse("workers")).content.decode()
    (circuit,) = json.loads(reader.get(reverse("api-workers")).content)["circuits"]
    assert circuit["model"] == "demo-model"
    assert reader.post(reverse("circuit-close"), {"model": "demo-model"}).status_code == 302
    assert not Circuit.objects.filter(opened_at__isnull=False).exists()
    assert ExperimentAction.objects.filter(experiment=lab, action="circuit closed", actor="ada").exists()


def test_the_command_lists_circuits_and_closes_one(lab, capsys):
    store.report("demo-model", [False], error="HTTP 503: down", rules=RULES)
    call_command("circuits")
    assert "demo-model: open since" in capsys.readouterr().out
    call_command("circuits", "close", "demo-model")
    with pytest.raises(CommandError, match="not open"):
        call_command("circuits", "close", "demo-model")


def test_an_import_has_no_budget(reader, played):
    played.sources = [{"path": "x", "format": "y", "sha256": "0", "rollouts": 1}]
    played.save()
    assert api(reader, played)["budget"] is None


def test_what_was_written_twice_counts_once(lab):
    """A statement is repeated after a broken connection."""
    spent = {lab.pk: ledger.Spent(Amount(Decimal("0.25"), 10), 1)}
    ledger.write(spent)
    ledger.write(spent)
    assert ledger.standing(lab.pk).spent == Amount(Decimal("1.25"), 610)
    assert ledger.unpriced_calls(lab.pk) == 2
