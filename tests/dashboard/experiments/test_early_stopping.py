"""The experiment page, its JSON, figures and comparisons, where arms ended early."""

import json

import pytest

from rlm_runs.execution import early_stopping
from rlm_runs.models import ArmDecision, Rollout
from tests.factories.rollout_rows import Plan, make


def made(*, method="betting", done=30, scaffolds=("llm", "rlm", "rlm_tips")):
    """RLM beats LLM on three of four examples; RLM+tips wins as often as it loses: one is decided, one is open."""

    def row(rng, arm, number):
        if number >= done:
            return {"status": "queued", "stop_reason": ""}
        is_right = {"llm": number % 4 == 0, "rlm": True, "rlm_tips": number % 4 == 1}[arm.scaffold]
        return {"reward": float(is_right), "seconds": 10.0, "cost": 0.25}

    found = make([Plan(scaffold=name) for name in scaffolds], examples=100, row=row)
    more = {"alpha": 0.001} if method == "betting" else {"eta": 3}
    found.spec = {"early_stopping": {"method": method, "min_examples": 10, **more}}
    found.save()
    early_stopping.look_at(found.pk)
    return found


@pytest.fixture
def ended(db):
    return made()


def html(reader, address):
    response = reader.get(address)
    assert response.status_code == 200, address
    return " ".join(response.content.decode().split())


def test_the_page_says_which_arms_ended_why_and_what_was_saved(reader, ended):
    page = html(reader, ended.get_absolute_url())
    assert "1 arm ended early: 70 rollouts not run" in page
    assert "saved about $17.50 and 11 m 40 s of rollout time" in page
    assert "the chance that any decision is wrong is at most 0.001, over 2 comparisons" in page
    section = page[page.index('id="early-stopping"') :]
    assert "<strong>ahead</strong>" in section
    assert f"arm%3A{ended.arms.get(position=1).pk}+stop%3Adecided" in section
    assert "open" in section
    assert ">ended early</a>" in html(reader, f"{ended.get_absolute_url()}arms/")


def test_words_give_the_sequential_interval_and_no_p_of_a_fixed_number(reader, ended):
    page = html(reader, ended.get_absolute_url())
    decision = ArmDecision.objects.get()
    assert "ended early, so no p for a fixed number of examples holds" in page
    assert f"after {decision.examples} examples, by a confidence sequence for all comparisons" in page
    assert "(testing by betting, at any n)" in page
    assert "better on 22 of 30" not in page
    assert "<strong>beats</strong>" in page


def test_an_arm_that_goes_on_keeps_its_usual_words(reader, ended):
    page = html(reader, ended.get_absolute_url())
    assert "better on 8 of 30 examples, worse on 8" in page
    assert "is not clearly different from" in page


def test_a_pruned_arm_is_not_compared(reader, db):
    found = made(method="halving", done=10)
    page = html(reader, found.get_absolute_url())
    assert "Successive halving: 1 in 3 arms of an environment passes each rung" in page
    assert "It controls no error rate." in page
    assert "has no valid comparison with" in page
    section = page[page.index('id="early-stopping"') :]
    assert 'data-label="mean reward">0.30</td><td class="num" data-label="passed">1.00</td>' in section


def test_figures_and_comparisons_warn(reader, ended):
    arms = [arm.pk for arm in ended.arms.all()]
    for address in (
        f"/experiments/{ended.slug}/figures/reward/",
        f"/experiments/{ended.slug}/figures/lift/",
        f"/compare/?arm={arms[0]}&arm={arms[1]}",
    ):
        page = html(reader, address)
        assert "Ended early: oolong × RLM × m." in page, address
        assert "for a fixed number of examples do not hold for them" in page, address
    assert "Ended early" not in html(reader, f"/compare/?arm={arms[0]}&arm={arms[2]}")


def test_the_json_has_the_evidence(reader, ended):
    found = json.loads(reader.get(f"/api/experiments/{ended.slug}/").content)["early_stopping"]
    decision = ArmDecision.objects.get()
    assert found["settings"]["method"] == "betting"
    (row,) = found["ended"]
    assert (row["reason"], row["rollouts_not_run"], row["estimated_seconds"]) == ("ahead", 70, 700.0)
    assert row["low"] == decision.low
    assert row["e_value"] == decision.e_value
    assert row["baseline"] == ended.arms.get(position=0).pk
    assert found["saved"]["rollouts"] == 70


def test_the_rest_can_be_run(reader, ended):
    address = f"/experiments/{ended.slug}/control/run-decided/"
    assert f'href="{address}"' in html(reader, ended.get_absolute_url())
    assert "70 rollouts that early stopping left out are queued" in html(reader, address)
    assert Rollout.objects.filter(stop_reason="decided").exists()
    assert reader.post(address, {"confirm": "yes"}).status_code == 302
    assert not Rollout.objects.filter(stop_reason="decided").exists()
    page = html(reader, ended.get_absolute_url())
    assert "reopened" in page
    assert "Run the rest" not in page
    assert "better on 22 of 30 examples" in page


def test_without_early_stopping_there_is_no_section(reader, played):
    page = html(reader, played.get_absolute_url())
    assert '<h2 id="early-stopping-title">' not in page
    assert json.loads(reader.get(f"/api/experiments/{played.slug}/").content)["early_stopping"] is None


def test_live_parts_bring_the_section(reader, ended):
    page = html(reader, f"/experiments/{ended.slug}/live/")
    assert '<section class="block" id="early-stopping" aria-labelledby="early-stopping-title" hx-swap-oob' in page
