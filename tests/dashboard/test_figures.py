"""Figures are pure: frozen rows in, data for plotly out."""

import json
from dataclasses import replace
from decimal import Decimal

import pytest

from dashboard import figures, words
from rlm_runs.aggregates import ArmSummary, Comparison, Summary, Unscored
from rlm_runs.statistics import compare_paired, wilson
from rlm_runs.transcripts import Excerpt

LLM = ArmSummary(
    pk=1,
    position=0,
    environment="oolong",
    scaffold="llm",
    scaffold_name="LLM",
    model="m",
    simulated=False,
    process_sandbox=False,
    differs=(),
    group="oolong",
    series="LLM",
    total=50,
    scored=23,
    too_long=27,
    failed=0,
    cancelled=0,
    unfinished=0,
    counted=23,
    reward=wilson(successes=1, n=23),
    prompt_tokens=1.0,
    completion_tokens=1.0,
    sub_prompt_tokens=0.0,
    sub_completion_tokens=0.0,
    sub_calls=0.0,
    turns=1.0,
    seconds=1.0,
    mean_cost=None,
    total_cost=Decimal(0),
    priced=0,
    unpriced=0,
)
RLM = replace(
    LLM,
    pk=2,
    position=1,
    scaffold="rlm",
    scaffold_name="RLM",
    series="RLM",
    scored=50,
    too_long=0,
    reward=wilson(successes=7, n=50),
    simulated=True,
    process_sandbox=True,
)


def summary(*arms, paired=None):
    comparisons = (Comparison(group="oolong", arm=RLM, baseline=LLM, paired=paired),) if paired else ()
    return Summary(unscored=Unscored.EXCLUDE, arms=arms, comparisons=comparisons)


def figure(*arms):
    return figures.reward_by_environment(summary(*arms), link=lambda arm: f"/rollouts/?arm={arm.pk}")


def test_a_bar_per_arm_with_its_interval_and_its_colour():
    llm, rlm = figure(LLM, RLM)["data"]
    assert (llm["y"], rlm["y"]) == ([1 / 23], [0.14])
    assert rlm["error_y"]["array"][0] == pytest.approx(0.2619 - 0.14, abs=1e-4)
    assert rlm["error_y"]["arrayminus"][0] == pytest.approx(0.14 - 0.0695, abs=1e-4)
    assert (llm["marker"]["color"], rlm["marker"]["color"]) == ("var(--llm)", "var(--rlm)")


def test_each_bar_links_to_its_rollouts_and_tells_all_on_hover():
    llm, rlm = figure(LLM, RLM)["data"]
    link, hover = llm["customdata"][0]
    assert link == "/rollouts/?arm=1"
    assert "n 23 of 50" in hover
    assert "27 too long" in hover
    assert "simulated model" in rlm["customdata"][0][1]
    assert "process sandbox: no walls" in rlm["customdata"][0][1]


def test_an_arm_without_rewards_has_no_bar_but_its_place():
    found = figure(replace(LLM, reward=None, scored=0))
    assert found["data"][0]["y"] == []
    assert found["layout"]["xaxis"]["ticktext"] == ["oolong"]


def test_the_same_scaffold_twice_is_told_apart_by_pattern():
    slow = replace(RLM, pk=3, series="RLM · cell_time_limit 600")
    patterns = [trace["marker"]["pattern"]["shape"] for trace in figure(RLM, slow)["data"]]
    assert len(set(patterns)) == 2
    assert [entry.pattern for entry in figures.legend(summary(RLM, slow))] == ["", "striped"]


def test_names_cannot_write_markup():
    found = figure(replace(LLM, group="<b>x</b>", series="<a href='/'>y</a>"))
    assert "<b>x" not in json.dumps(found)
    assert "<a " not in json.dumps(found)


def test_the_caption_says_what_is_left_out():
    assert "27 too long left out" in figures.caption(summary(LLM, RLM))
    zero = replace(summary(LLM, RLM), unscored=Unscored.ZERO)
    assert "27 too long counted as zero" in figures.caption(zero)


def split(*, n, better, worse):
    equal = [0.0] * (n - better - worse)
    return compare_paired([0.0] * better + [1.0] * worse + equal, [1.0] * better + [0.0] * worse + equal)


@pytest.mark.parametrize(
    ("paired", "relation", "is_clear"),
    [
        (split(n=50, better=7, worse=1), "not clearly different from", False),
        (split(n=50, better=9, worse=0), "beats", True),
        (split(n=50, better=0, worse=9), "falls behind", True),
    ],
)
def test_words_say_no_more_than_the_test(paired, relation, is_clear):
    (group,) = words.verdicts(summary(LLM, RLM, paired=paired))
    (verdict,) = group.verdicts
    assert (verdict.relation, verdict.is_clear) == (relation, is_clear)
    assert f"better on {paired.better}, worse on {paired.worse}" in verdict.evidence
    assert "27 of 100 prompts too long" in verdict.evidence


@pytest.mark.parametrize(
    ("given", "gold", "said"),
    [
        (("abc", 3), ("abc", 3), "the same as the gold answer"),
        (("abd", 3), ("abc", 3), "first differs from the gold answer at character 3"),
        (("ab", 2), ("abc", 3), "first differs from the gold answer at character 3"),
        (("abc", 9), ("abc", 9), ""),
        (("abx", 9), ("abc", 9), "first differs from the gold answer at character 3"),
    ],
)
def test_agreement_is_said_to_the_character(given, gold, said):
    assert words.agreement(Excerpt(*given), Excerpt(*gold)) == said
