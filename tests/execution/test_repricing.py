"""Costs by a newer price list: what changes, what stays, and what is kept of before."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command

from rlm_runs.engine import events as e
from rlm_runs.execution import repricing
from rlm_runs.models import Arm, Attempt, ExperimentAction, RepricedTurn, Repricing, Rollout, Turn
from tests.execution.test_recorder import play, rlm_rollout

ONE = '[lab]\ntitle = "Lab"\nbase_url = "http://127.0.0.1:9/v1"\nmodels = [{{ name = "m"{price} }}]\n'
PRICE = ', price = { prompt = "100", cached = "10", completion = "1000" }'


@pytest.fixture
def price(tmp_path, settings):
    """Writes what the endpoints file says of the only model, `m`."""

    def written(text):
        path = tmp_path / "endpoints.toml"
        path.write_text(ONE.format(price=text))
        settings.RLM_ENDPOINTS_FILE = path
        settings.RLM_EXTRA_MODELS = []

    return written


@pytest.fixture
def priced(rollout):
    """A rollout of the model `m` at the endpoint `lab`, whose calls cost $0.01 each by a list called `old`."""
    Arm.objects.update(model="m", sub_model="m", endpoint="lab")
    rollout.refresh_from_db()
    play(rollout, [_by_m(event) for event in rlm_rollout()])
    call_command("check_store")
    return rollout


def _by_m(event):
    if isinstance(event, e.TrajectoryStarted):
        return replace(event, model="m")
    return replace(event, price_version="old") if isinstance(event, e.TurnEnded) and event.cost else event


def by_hand(turns):
    """Dollars at $100, $10 and $1,000 per million."""
    return sum(
        (
            (
                (turn.prompt_tokens - turn.cached_tokens) * 100
                + turn.cached_tokens * 10
                + turn.completion_tokens * 1000
            )
            / Decimal(10**6)
            for turn in turns
        ),
        Decimal(0),
    )


def test_a_dry_run_says_what_would_change_and_writes_nothing(priced, price, capsys):
    price(PRICE)
    before = list(Turn.objects.order_by("pk").values_list("cost", "price_version"))
    call_command("reprice", dry_run=True)
    said = capsys.readouterr().out
    assert "by old →" in said
    assert "would change" in said
    assert list(Turn.objects.order_by("pk").values_list("cost", "price_version")) == before
    assert not Repricing.objects.exists()


def test_calls_have_todays_price_and_their_rollout_its_sums(priced, price):
    price(PRICE)
    call_command("reprice", yes=True)
    priced.refresh_from_db()
    calls = Turn.objects.filter(error="")
    assert priced.cost == by_hand(calls.exclude(trajectory__kind="judge")) > 0
    assert priced.judge_cost == by_hand(calls.filter(trajectory__kind="judge"))
    assert all(turn.price_version.startswith("endpoints file ") for turn in calls)
    call_command("check_store")


def test_the_former_costs_are_kept_with_who_and_when(priced, price):
    price(PRICE)
    call_command("reprice", priced.experiment.slug, yes=True)
    history = Repricing.objects.get()
    assert history.by.startswith("command line (")
    assert history.scope == priced.experiment.slug
    assert history.finished_at > history.at
    rows = history.turns.select_related("turn")
    assert {(row.old_cost, row.old_version) for row in rows} == {(Decimal("0.01"), "old")}
    assert all((row.new_cost, row.new_version) == (row.turn.cost, row.turn.price_version) for row in rows)
    assert rows.count() == Turn.objects.filter(error="").count()
    logged = ExperimentAction.objects.get(action="repriced")
    assert logged.details["calls"] == rows.count()


def test_done_again_it_changes_nothing(priced, price):
    price(PRICE)
    call_command("reprice", yes=True)
    call_command("reprice", yes=True)
    assert Repricing.objects.count() == 1


def test_what_has_no_price_today_keeps_its_cost(priced, price, capsys):
    price("")
    call_command("reprice", yes=True)
    assert set(Turn.objects.filter(error="").values_list("cost", "price_version")) == {(Decimal("0.01"), "old")}
    assert "0 calls of 1 rollouts changed" in capsys.readouterr().out


def test_a_call_without_a_price_gets_one(priced, price, capsys):
    Turn.objects.filter(error="").update(cost=None, price_version="")
    Rollout.objects.update(cost=None, judge_cost=None)
    price(PRICE)
    call_command("reprice", yes=True)
    priced.refresh_from_db()
    assert priced.cost == by_hand(Turn.objects.filter(error="").exclude(trajectory__kind="judge"))
    assert "unpriced → $" in capsys.readouterr().out
    call_command("check_store")


def test_failed_calls_and_calls_without_usage_are_left_alone(priced, price):
    first, second, *_ = Turn.objects.filter(error="").order_by("pk")
    Turn.objects.filter(pk=first.pk).update(error="HTTP 500", cost=0)
    Turn.objects.filter(pk=second.pk).update(prompt_tokens=None)
    price(PRICE)
    call_command("reprice", yes=True)
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.cost, second.cost) == (0, Decimal("0.01"))


def test_a_model_that_another_endpoint_serves_today_keeps_its_cost(priced, price, capsys):
    Arm.objects.update(endpoint="former")
    price(PRICE)
    call_command("reprice", yes=True)
    assert not RepricedTurn.objects.exists()
    assert "another endpoint serves today" in capsys.readouterr().out


def test_unfinished_and_imported_rollouts_are_left_alone(priced, price, capsys):
    price(PRICE)
    Rollout.objects.update(reported=True)
    call_command("reprice", yes=True)
    Rollout.objects.update(reported=False, status="running")
    call_command("reprice", yes=True)
    assert not RepricedTurn.objects.exists()
    assert "1 rollouts are imported or have not ended" in capsys.readouterr().out


def test_earlier_attempts_are_repriced_too(rollout, price):
    Arm.objects.update(model="m", sub_model="m", endpoint="lab")
    story = [_by_m(event) for event in rlm_rollout()]
    play(rollout, story)
    Attempt.objects.create(rollout=rollout, number=1, status="failed", cost=rollout.cost, sums={"earlier_cost": 0})
    Rollout.objects.update(attempt=2, status="running", earlier_cost=rollout.cost)
    rollout.refresh_from_db()
    play(rollout, story)
    price(PRICE)
    call_command("reprice", yes=True)
    rollout.refresh_from_db()
    of_attempt = Turn.objects.filter(error="", trajectory__attempt=1).exclude(trajectory__kind="judge")
    assert rollout.earlier_cost == Attempt.objects.get().cost == by_hand(of_attempt) > 0
    assert rollout.cost == rollout.earlier_cost
    call_command("check_store")


def test_it_asks_first(priced, price, monkeypatch):
    price(PRICE)
    monkeypatch.setattr("builtins.input", lambda _: "n")
    call_command("reprice")
    assert not Repricing.objects.exists()
    monkeypatch.setattr("builtins.input", lambda _: "y")
    call_command("reprice")
    assert Repricing.objects.exists()


def test_a_filter_chooses_rollouts(priced, price):
    price(PRICE)
    call_command("reprice", query="model:other", yes=True)
    assert not Repricing.objects.exists()
    call_command("reprice", query="model:m", yes=True)
    assert Repricing.objects.get().scope == "all experiments model:m"
    with pytest.raises(CommandError, match="the filter cannot be read"):
        call_command("reprice", query="nokey:1", yes=True)
    with pytest.raises(CommandError, match="there is no experiment 'nothing'"):
        call_command("reprice", "nothing", yes=True)


def test_pages_see_the_new_costs(priced, price):
    revision = priced.experiment.revision
    price(PRICE)
    call_command("reprice", yes=True)
    priced.experiment.refresh_from_db()
    assert priced.experiment.revision > revision


def test_it_goes_on_where_it_was_cut_off(make_rollout, price, monkeypatch):
    monkeypatch.setattr(repricing, "_BATCH", 1)
    for _ in range(3):
        rollout = make_rollout()
        Arm.objects.update(model="m", sub_model="m", endpoint="lab")
        rollout.refresh_from_db()
        play(rollout, [_by_m(event) for event in rlm_rollout()])
    price(PRICE)
    store, done = repricing._store, []

    def cut_off(changes, history):
        if done:
            raise KeyboardInterrupt
        done.append(store(changes, history))

    monkeypatch.setattr(repricing, "_store", cut_off)
    with pytest.raises(KeyboardInterrupt):
        call_command("reprice", yes=True)
    call_command("check_store")
    assert Repricing.objects.get().finished_at is None
    monkeypatch.setattr(repricing, "_store", store)
    call_command("reprice", yes=True)
    assert RepricedTurn.objects.count() == Turn.objects.filter(error="").count()
    call_command("check_store")
