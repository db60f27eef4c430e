"""Figures are pure functions: numbers in, data for plotly and text out."""

import json
from dataclasses import replace

import numpy as np
import pytest

from dashboard import charts
from dashboard.charts.captions import caption
from dashboard.charts.numbers import Chart, Curve, Effect, Panel, Point, Series
from dashboard.experiments import verdicts
from dashboard.replay import wording
from rlm_runs.analysis.aggregates import ArmSummary, Comparison, Summary, Unscored
from rlm_runs.analysis.aggregates.arms import Money
from rlm_runs.analysis.aggregates.dimensions import Value
from rlm_runs.analysis.aggregates.points import LeftOut
from rlm_runs.analysis.statistics import Interval, compare_paired, wilson
from rlm_runs.analysis.transcripts import Excerpt

LLM, RLM, SLOW = (Series("LLM", "llm", 0), Series("RLM", "rlm", 0), Series("RLM · cell_time_limit 600", "rlm", 1))
SOME = Point(
    facet="",
    group="oolong",
    series=LLM,
    measure="reward",
    value=wilson(successes=1, n=23),
    total=50,
    counted=23,
    left_out=LeftOut(too_long=27),
    query="arm:1 outcome:scored",
)
OTHER = replace(SOME, series=RLM, value=wilson(successes=7, n=50), counted=50, left_out=LeftOut(), query="arm:2")


def chart(*points, form="bars", **panel):
    series = tuple(dict.fromkeys(point.series for point in points))
    groups = tuple(Value(group) for group in dict.fromkeys(point.group for point in points))
    return Chart(
        title="Mean reward by environment",
        by="environment",
        groups=groups,
        series=series,
        panels=(Panel(**{"title": "reward", "form": form, "y": "mean reward", "points": points} | panel),),
        unscored=Unscored.EXCLUDE,
        left_out=LeftOut(too_long=27),
        effects=(
            Effect(
                "LLM", "reward", {Unscored.EXCLUDE: (1 / 23, 23), Unscored.ZERO: (0.02, 50), Unscored.COMMON: None}
            ),
        ),
        notes=(),
    )


def plotted(*points, **kwargs):
    (panel,) = charts.plotted(chart(*points, **kwargs)).panels
    return panel


def test_a_bar_per_point_with_its_interval_and_its_colour():
    llm, rlm = plotted(SOME, OTHER)["data"]
    assert (llm["y"], rlm["y"]) == ([pytest.approx(1 / 23, rel=1e-5)], [0.14])
    assert rlm["error_y"]["array"][0] == pytest.approx(0.2619 - 0.14, abs=1e-4)
    assert rlm["error_y"]["arrayminus"][0] == pytest.approx(0.14 - 0.0695, abs=1e-4)
    assert (llm["marker"]["color"], rlm["marker"]["color"]) == ("var(--llm)", "var(--rlm)")


def test_each_bar_carries_the_filter_of_its_rollouts_and_tells_all_on_hover():
    llm, _ = plotted(SOME, OTHER)["data"]
    query, hover = llm["customdata"][0]
    assert query == "arm:1 outcome:scored"
    assert "n 23 of 50" in hover
    assert "27 too long" in hover
    assert "(Wilson)" in hover


def test_how_many_stands_under_each_group():
    layout = plotted(SOME, OTHER)["layout"]
    assert layout["xaxis"]["ticktext"] == ["oolong<br>n 23 to 50"]


def test_groups_that_are_numbers_keep_their_labels():
    """Plotly reads the tick 1 of a category axis as the category "1"."""
    axis = plotted(*(replace(SOME, group=group) for group in ("1", "2", "0")))["layout"]["xaxis"]
    assert axis["tickvals"] == axis["categoryarray"] == ["1", "2", "0"]


def test_what_has_no_value_has_no_bar_but_its_place():
    found = plotted(replace(SOME, value=None))
    assert found["data"][0]["y"] == []
    assert found["layout"]["xaxis"]["ticktext"] == ["oolong<br>n 0"]


def test_the_same_scaffold_twice_is_told_apart_by_pattern():
    slow = replace(OTHER, series=SLOW)
    patterns = [trace["marker"]["pattern"]["shape"] for trace in plotted(OTHER, slow)["data"]]
    assert len(set(patterns)) == 2
    assert [entry.pattern for entry in charts.legend(chart(OTHER, slow))] == ["", "striped"]


def test_series_that_are_no_scaffolds_have_colours_of_their_own():
    points = [replace(SOME, series=Series(f"model {at}", "", at)) for at in range(7)]
    bars = [trace["marker"] for trace in plotted(*points)["data"]]
    looks = {(bar["color"], bar["pattern"]["shape"]) for bar in bars}
    assert len(looks) == 7


@pytest.mark.parametrize("form", ["bars", "stack", "tradeoff", "line"])
def test_names_cannot_write_markup(form):
    evil = replace(
        SOME, group="<b>x</b>", series=Series("<a href='/'>y</a>", "llm", 0), x=Interval(1.0, 3, None, None, "bin")
    )
    text = json.dumps(charts.plotted(chart(evil, form=form)).panels)
    assert "<b>x" not in text
    assert "<a " not in text


def test_the_parts_of_a_stack_stand_on_each_other():
    parts = [
        replace(SOME, measure=name, value=Interval(value, 5, None, None, ""))
        for name, value in (("one", 3.0), ("two", 4.0), ("three", 5.0))
    ]
    bars = plotted(*parts, form="stack")["data"]
    assert [(bar["base"], bar["y"]) for bar in bars] == [([0.0], [3.0]), ([3.0], [4.0]), ([7.0], [5.0])]
    assert len({bar["offsetgroup"] for bar in bars}) == 1


def test_a_whisker_without_an_upper_limit_leaves_the_plot():
    ratio = replace(SOME, value=Interval(3.0, 50, 0.5, None, "BCa"))
    found = plotted(ratio, base=1.0)
    (bar,) = found["data"]
    top = found["layout"]["yaxis"]["range"][1]
    assert bar["base"] + bar["y"][0] == 3.0
    assert 3.0 + bar["error_y"]["array"][0] > top > 3.0
    assert "no upper limit" in bar["customdata"][0][1]


def test_a_page_carries_so_many_points_and_says_how_many_it_does_not():
    many = tuple(replace(SOME, group=f"group {at}") for at in range(600))
    found = charts.plotted(chart(*many))
    kept = sum(len(trace["y"]) for panel in found.panels for trace in panel["data"])
    assert 0 < kept <= 480
    assert kept + found.left_away == 600
    assert len(json.dumps(found.panels)) < 130_000


def test_long_names_take_room_from_points():
    many = tuple(replace(SOME, group=f"{at} " + "&" * 500) for at in range(400))
    found = charts.plotted(chart(*many))
    assert found.left_away > 0
    assert len(json.dumps(found.panels)) < 130_000


def test_dots_of_nothing_but_zeros_and_ones_do_not_hide_each_other():
    def dots(series, y):
        none = np.empty(0)
        return Curve(series, np.array([1.0, 2.0]), np.array(y), none, none, np.array([1, 2]), np.array([7, 9]))

    first, second = plotted(form="dots", curves=(dots(LLM, [0.0, 1.0]), dots(RLM, [0.0, 1.0])))["data"]
    assert first["y"] != second["y"]
    assert first["text"] == second["text"] == [0.0, 1.0]
    assert first["customdata"] == [["id:7", "1"], ["id:9", "2"]]
    partial, _ = plotted(form="dots", curves=(dots(LLM, [0.0, 0.3]), dots(RLM, [0.0, 1.0])))["data"]
    assert partial["y"] == [0.0, 0.3]


@pytest.mark.parametrize("log", [False, True])
def test_whiskers_of_series_at_the_same_place_stand_beside_each_other(log):
    points = [
        replace(SOME, group=str(x), series=series, x=Interval(x, 5, None, None, "bin"))
        for series in (LLM, RLM)
        for x in (100.0, 10_000.0)
    ]
    llm, rlm = plotted(*points, form="line", log=log)["data"]
    for left, right, x in zip(llm["x"], rlm["x"], (100.0, 10_000.0), strict=True):
        assert left < x < right
        assert right - left < 0.1 * (x if log else 9_900)


def test_an_empty_panel_says_why_in_its_place():
    waiting = plotted(replace(SOME, value=None, counted=0, why="not run yet"))["layout"]
    assert waiting["annotations"][0]["text"] == "not run yet"
    cost = plotted(replace(SOME, value=None, why="not known of 23 rollouts"), y="mean cost, $")["layout"]
    assert cost["annotations"][0]["text"].startswith("unpriced")
    assert "annotations" not in plotted(SOME, replace(OTHER, value=None))["layout"]


def test_a_bar_of_no_height_is_a_stroke_in_its_colour():
    (bar,) = plotted(replace(SOME, value=wilson(successes=0, n=9)))["data"]
    assert bar["y"] == [0.0]
    assert bar["marker"]["line"] == {"color": "var(--llm)", "width": 1.5}


def test_the_shades_of_a_breakdown_have_a_legend():
    parts = [replace(SOME, measure=name) for name in ("main prompt tokens", "main completion tokens")]
    assert charts.shades(chart(*parts, form="stack")) == (
        ("main prompt tokens", 1.0),
        ("main completion tokens", 0.7),
    )
    assert charts.shades(chart(*parts)) == ()


def test_the_caption_says_what_is_left_out_and_what_that_does():
    said = caption(chart(SOME, OTHER))
    assert "27 too long are left out." in said
    assert "Counted as zero, the mean reward of LLM would be 0.02 (n 50) instead of 0.0435 (n 23)." in said
    alone = replace(chart(SOME, OTHER), left_out=LeftOut(failed=1, cancelled=1))
    assert "1 failed is left out." in caption(alone)
    assert "1 cancelled counts in no way." in caption(alone)
    zero = replace(chart(SOME, OTHER), unscored=Unscored.ZERO)
    assert "27 too long count as reward 0" in caption(zero)
    assert "Left out, the mean reward of LLM would be 0.0435 (n 23) instead of 0.02 (n 50)." in caption(zero)


def test_csv_has_every_digit_and_no_formula():
    evil = replace(SOME, group="=HYPERLINK(1)", value=Interval(1 / 3, 3, None, None, "t"))
    header, line = charts.as_csv(chart(evil)).splitlines()
    assert header.split(",") == list(charts.COLUMNS)
    assert "'=HYPERLINK(1)" in line
    assert repr(1 / 3) in line


ARM = ArmSummary(
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
    counted=23,
    left_out=LeftOut(too_long=27),
    reward=wilson(successes=1, n=23),
    means={},
    cost=None,
    money=Money(),
)
OTHER_ARM = replace(
    ARM, pk=2, scaffold="rlm", series="RLM", scored=50, left_out=LeftOut(), reward=wilson(successes=7, n=50)
)


def paired(better, worse, equal):
    return compare_paired(
        [0.0] * better + [1.0] * worse + [0.0] * equal, [1.0] * better + [0.0] * worse + [0.0] * equal
    )


def compared(found, *, otherwise=None, unscored=Unscored.EXCLUDE, p=None):
    comparison = Comparison(
        group="oolong",
        arm=OTHER_ARM,
        baseline=ARM,
        name="RLM",
        baseline_name="LLM",
        paired=found,
        p=found.p if p is None else p,
        otherwise=otherwise,
        prices={"tokens": 2.294, "seconds": 14.0},
    )
    return Summary(unscored=unscored, arms=(ARM, OTHER_ARM), comparisons=(comparison,))


def verdict(summary):
    (group,) = verdicts.verdicts(summary)
    (found,) = group.verdicts
    return found


@pytest.mark.parametrize(
    ("counts", "p", "relation", "is_clear"),
    [
        ((7, 1, 42), None, "is not clearly different from", False),
        ((9, 0, 41), None, "beats", True),
        ((9, 0, 41), 0.2, "is not clearly different from", False),
        ((0, 9, 41), None, "falls behind", True),
    ],
)
def test_words_say_no_more_than_the_corrected_test(counts, p, relation, is_clear):
    found = verdict(compared(paired(*counts), p=p))
    assert (found.relation, found.is_clear) == (relation, is_clear)
    assert f"better on {counts[0]} of 50 examples, worse on {counts[1]}" in found.evidence
    assert found.price == "at 2.3 × the tokens, 14 × the time"


def test_what_the_articles_bars_hide_is_said_without_a_click():
    """RLM against LLM on Oolong/real: 7 better, 1 worse with refusals as zero; nothing where both could read."""
    read, zero = paired(1, 1, 21), paired(7, 1, 42)
    left_out = verdict(compared(read, otherwise=zero))
    assert "better on 1 of 23 examples, worse on 1, Δ 0.00" in left_out.evidence
    assert left_out.otherwise.startswith(
        "With 27 of LLM too long counted as zero, on 50 examples: better on 7, worse on 1"
    )
    assert "Δ +0.12" in left_out.otherwise
    assert "p = 0.070" in left_out.otherwise
    counted = verdict(compared(zero, otherwise=read, unscored=Unscored.ZERO))
    assert "p = 0.070 (exact McNemar)" in counted.evidence
    assert "more examples would show a difference of this size" in counted.evidence
    assert counted.otherwise.startswith(
        "On the 23 examples that both finished (27 of LLM too long): better on 1, worse on 1, Δ 0.00"
    )


def test_in_short_it_counts_what_is_beyond_chance():
    ahead = verdicts.headline(compared(paired(9, 0, 41)))
    assert "1 is ahead of the LLM beyond chance" in ahead
    assert ahead.endswith("Ahead: RLM on oolong.")
    assert verdicts.headline(compared(paired(0, 9, 41))).endswith("Behind: RLM on oolong.")
    assert "none tells an arm from the LLM" in verdicts.headline(compared(paired(7, 1, 42)))
    assert verdicts.headline(Summary(unscored=Unscored.EXCLUDE, arms=(ARM,), comparisons=())) == ""


def test_in_short_it_says_why_nothing_can_be_compared():
    def without(left_out):
        arm = replace(ARM, reward=None, scored=0, left_out=left_out)
        return verdicts.headline(Summary(unscored=Unscored.EXCLUDE, arms=(arm, arm), comparisons=()))

    assert without(LeftOut(failed=10, too_long=1)) == "No rollout has a reward: 2 too long, 20 failed."
    assert without(LeftOut(failed=1, unfinished=9)) == "No rollout has a reward yet: 2 failed, 18 to go."


def test_arms_of_which_there_is_nothing_to_say_stand_apart():
    summary = compared(paired(9, 0, 41))
    (comparison,) = summary.comparisons
    lonely = replace(comparison, paired=None, p=None, arm=replace(OTHER_ARM, pk=3))
    arms = (*summary.arms, lonely.arm)
    (group,) = verdicts.verdicts(replace(summary, arms=arms, comparisons=(comparison, lonely)))
    assert [len(group.verdicts), len(group.apart)] == [1, 1]
    assert group.apart[0].arm.pk == 3


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
    assert wording.agreement(Excerpt(*given), Excerpt(*gold)) == said
