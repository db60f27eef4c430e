"""Means, lifts, efficiencies and bins equal the same numbers computed in plain Python from the rows."""

import math
from collections import defaultdict

import pytest

from dashboard import charts
from rlm_runs.analysis.aggregates import Unscored
from rlm_runs.models import Rollout
from tests.factories.rollout_rows import Plan, make, snapshot

pytestmark = pytest.mark.django_db
EXACT = {"rel": 1e-9, "abs": 1e-12}
WAYS = list(Unscored)


@pytest.fixture
def experiment():
    """Two subsets × three scaffolds, three repetitions, lengths from 0 to 1,900."""
    plans = [
        Plan(scaffold=scaffold, environment_settings={"subset": subset})
        for subset in ("real", "synth")
        for scaffold in ("llm", "rlm", "rlm_tips")
    ]
    kinds = ("a", "b", None)
    return make(
        plans,
        examples=20,
        repetitions=3,
        metadata=lambda at: {"context_length": at * 100, "kind": kinds[at % 3], "few": at % 4},
    )


def chart(experiment, name, **asked):
    taken = snapshot(experiment)
    form = charts.FigureForm(
        {key: [str(each) for each in value] if key == "arm" else value for key, value in asked.items()},
        snapshot=taken,
        opens=charts.opening_query(charts.FIGURES[name], taken),
    )
    found = form.asked()
    assert not form.errors, form.errors
    return charts.chart(taken, found)


def rows_of(experiment, unscored):
    """The rollouts that count and their values, by the definition."""
    rows = list(Rollout.objects.filter(experiment=experiment).select_related("arm", "example"))
    if unscored is Unscored.COMMON:
        spoilt = {row.example_id for row in rows if row.reward is None}
        return [row for row in rows if row.example_id not in spoilt]
    kept = []
    for row in rows:
        if row.reward is None and (
            unscored is Unscored.EXCLUDE or row.status in ("queued", "running", "cancelled")
        ):
            continue
        row.reward = row.reward or 0.0
        kept.append(row)
    return kept


def mean(values):
    known = [float(value) for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None


def groups(rows):
    found = defaultdict(list)
    for row in rows:
        found[row.arm.environment_settings["subset"], row.arm.scaffold_title].append(row)
    return found


def place(point):
    return point.group.removeprefix("oolong · subset "), point.series.name


def main_tokens(row):
    return row.main_prompt_tokens + row.main_completion_tokens


@pytest.mark.parametrize("unscored", WAYS)
@pytest.mark.parametrize(
    "measure", ["reward", "main_tokens", "sub_calls", "seconds", "cost", "metric.exact_match"]
)
def test_means(experiment, unscored, measure):
    found = chart(experiment, "reward", measure=[measure], unscored=unscored.value)
    by_place = groups(rows_of(experiment, unscored))
    assert len(found.points) == 6
    read = {
        "main_tokens": main_tokens,
        "metric.exact_match": lambda row: row.metrics.get("exact_match"),
    }.get(measure, lambda row: getattr(row, measure))
    for point in found.points:
        rows = by_place[place(point)]
        values = [read(row) for row in rows]
        assert point.counted == len(rows)
        assert point.unknown == sum(value is None for value in values)
        if not rows:
            assert point.value is None
            continue
        assert point.value.mean == pytest.approx(mean(values), **EXACT)
        assert point.value.n == len(values) - point.unknown


@pytest.mark.parametrize("unscored", WAYS)
def test_lifts_are_paired_by_example(experiment, unscored):
    by_place = groups(rows_of(experiment, unscored))
    found = chart(experiment, "lift", unscored=unscored.value)
    assert {point.series.name for point in found.points} == {"RLM", "RLM+tips"}

    def by_example(rows):
        rewards = defaultdict(list)
        for row in rows:
            rewards[row.example_id].append(row.reward)
        return {example: mean(values) for example, values in rewards.items()}

    for point in found.points:
        subset, scaffold = place(point)
        own, llm = by_example(by_place[subset, scaffold]), by_example(by_place[subset, "LLM"])
        differences = [own[example] - llm[example] for example in own.keys() & llm.keys()]
        if not differences:
            assert point.value is None
            continue
        assert point.value.mean == pytest.approx(mean(differences), **EXACT)
        assert point.paired.better == sum(difference > 1e-12 for difference in differences)
        assert point.paired.worse == sum(difference < -1e-12 for difference in differences)
        plain = mean([row.reward for row in by_place[subset, scaffold]])
        plain -= mean([row.reward for row in by_place[subset, "LLM"]])
        assert point.plain == pytest.approx(plain, **EXACT)


@pytest.mark.parametrize("unscored", WAYS)
def test_efficiencies_are_on_common_examples(experiment, unscored):
    by_place = groups(rows_of(experiment, unscored))
    found = chart(experiment, "efficiency", unscored=unscored.value)
    assert len(found.points) == 6

    def per_token(rows, among=None):
        rows = [row for row in rows if among is None or row.example_id in among]
        return mean([row.reward for row in rows]) / mean([main_tokens(row) for row in rows])

    for point in found.points:
        subset, scaffold = place(point)
        own, llm = by_place[subset, scaffold], by_place[subset, "LLM"]
        common = {row.example_id for row in own} & {row.example_id for row in llm}
        if not common or not sum(row.reward for row in llm if row.example_id in common):
            assert point.value is None
            continue
        assert point.value.mean == pytest.approx(per_token(own, common) / per_token(llm, common), **EXACT)
        assert point.plain == pytest.approx(per_token(own) / per_token(llm), **EXACT)


def test_tokens_are_stacked_of_their_four_parts(experiment):
    by_place = groups(rows_of(experiment, Unscored.EXCLUDE))
    (panel,) = chart(experiment, "tokens").panels
    columns = {
        "main prompt tokens": "main_prompt_tokens",
        "main completion tokens": "main_completion_tokens",
        "sub-LLM prompt tokens": "sub_prompt_tokens",
        "sub-LLM completion tokens": "sub_completion_tokens",
    }
    assert len(panel.points) == 24
    for point in panel.points:
        values = [getattr(row, columns[point.measure]) for row in by_place[place(point)]]
        assert point.value.mean == pytest.approx(mean(values), **EXACT)


@pytest.mark.parametrize("unscored", WAYS)
def test_bins_hold_what_lies_in_them(experiment, unscored):
    found = chart(experiment, "context-length", bins=4, unscored=unscored.value)
    rows = rows_of(experiment, unscored)
    assert len({point.group for point in found.points}) == 4
    seen = 0
    for point in found.points:
        last = point.group.endswith("to 1900")
        if point.value is None:
            continue
        inside = [
            row
            for row in rows
            if row.arm.scaffold_title == point.series.name
            and point.x.low <= row.example.metadata["context_length"]
            and (row.example.metadata["context_length"] < point.x.high or last)
        ]
        seen += len(inside)
        assert point.value.mean == pytest.approx(mean([row.reward for row in inside]), **EXACT)
        assert point.x.mean == pytest.approx(
            mean([row.example.metadata["context_length"] for row in inside]), **EXACT
        )
    assert seen == len(rows)


def test_a_rolling_mean_is_over_neighbouring_examples(experiment):
    found = chart(experiment, "context-length", form="rolling", bins=4)
    windows = []
    rows = rows_of(experiment, Unscored.EXCLUDE)
    for curve in found.panels[0].curves:
        by_example = defaultdict(list)
        for row in rows:
            if row.arm.scaffold_title == curve.series.name:
                by_example[row.example_id].append((row.example.metadata["context_length"], row.reward))
        examples = sorted((pairs[0][0], mean([reward for _, reward in pairs])) for pairs in by_example.values())
        window = -(-len(examples) // 4)
        windows.append(window)
        assert curve.window == window
        assert len(curve.y) == len(examples) - window + 1
        assert curve.y.max() <= 1
        # Subsets share their lengths, so that which of two equal neighbours comes first is open.
        whole = mean([reward for _, reward in examples])
        assert abs(float(curve.y.mean()) - whole) < 0.2
    said = " to ".join(map(str, sorted({min(windows), max(windows)})))
    assert f"rolling means over {said} neighbouring examples" in charts.caption(found)


def test_the_filter_of_common_examples_names_them(experiment):
    rows = rows_of(experiment, Unscored.COMMON)
    found = chart(experiment, "reward", unscored="common").points
    assert any("example:" in point.query for point in found)
    for point in found:
        if "example:" not in point.query:
            continue
        term = next(term for term in point.query.split() if term.startswith("example:"))
        limits = [part.split("..") for part in term.removeprefix("example:").split(",")]
        named = {number for each in limits for number in range(int(each[0]), int(each[-1]) + 1)}
        (arm,) = [arm for arm in experiment.arms.all() if f"arm:{arm.pk} " in f"{point.query} "]
        assert named == {row.example_position + 1 for row in rows if row.arm_id == arm.pk}


def test_points_are_the_rollouts(experiment):
    found = chart(experiment, "context-length", form="scatter")
    rows = rows_of(experiment, Unscored.EXCLUDE)
    for curve in found.panels[0].curves:
        own = [row for row in rows if row.arm.scaffold_title == curve.series.name]
        places = (curve.x.tolist(), curve.y.tolist(), curve.examples.tolist(), curve.rollouts.tolist())
        assert sorted(zip(*places, strict=True)) == sorted(
            (float(row.example.metadata["context_length"]), row.reward, row.example_position + 1, row.pk)
            for row in own
        )


def test_the_tradeoff_has_both_means(experiment):
    by_place = groups(rows_of(experiment, Unscored.EXCLUDE))
    for point in chart(experiment, "reward-tokens").points:
        rows = by_place[place(point)]
        assert point.value.mean == pytest.approx(mean([row.reward for row in rows]), **EXACT)
        assert point.x.mean == pytest.approx(mean([main_tokens(row) for row in rows]), **EXACT)


@pytest.mark.parametrize("name", ["reward", "lift", "efficiency", "tokens", "reward-tokens", "context-length"])
def test_a_panel_has_its_own_rollouts_and_no_others(experiment, name):
    """Panels by subset are the figures of the subsets alone."""
    whole = chart(experiment, name, facet="set.subset", by="meta.kind" if name != "context-length" else "meta.few")
    assert [panel.title for panel in whole.panels] == ["real", "synth"]
    for panel in whole.panels:
        arms = [arm.pk for arm in experiment.arms.all() if arm.environment_settings["subset"] == panel.title]
        alone = chart(
            experiment, name, arm=arms, facet="none", by="meta.kind" if name != "context-length" else "meta.few"
        )
        (other,) = alone.panels
        assert len(panel.points) == len(other.points) > 3
        for one, same in zip(panel.points, other.points, strict=True):
            assert one.facet == panel.title
            assert (one.group, one.series, one.value, one.x, one.paired) == (
                *(same.group, same.series, same.value, same.x, same.paired),
            )


def test_what_is_left_out_is_counted_by_reason(experiment):
    by_place = groups(Rollout.objects.filter(experiment=experiment).select_related("arm"))
    for point in chart(experiment, "reward").points:
        rows = by_place[place(point)]
        assert point.total == len(rows)
        assert point.left_out.too_long == sum(row.stop_reason == "prompt_too_long" for row in rows)
        assert point.left_out.unjudged == sum(row.stop_reason == "unjudged" for row in rows)
        assert point.left_out.failed == sum(row.stop_reason == "model_error" for row in rows)
        assert point.left_out.unfinished == sum(row.status == "queued" for row in rows)


def test_the_effect_of_the_switch_is_what_the_other_figures_show(experiment):
    now = chart(experiment, "reward")
    ways = {way: chart(experiment, "reward", unscored=way.value) for way in Unscored}
    assert now.effects
    for effect in now.effects:
        for way, other in ways.items():
            (value,) = [
                each.value for each in other.points if f"{each.group} · {each.series.name}" == effect.label
            ]
            assert (value and (value.mean, value.n)) == (
                effect.means[way] and (pytest.approx(effect.means[way][0], **EXACT), effect.means[way][1])
            )


def test_by_metadata_the_examples_without_a_value_are_told_apart(experiment):
    found = chart(experiment, "by", by="meta.kind", measure=["reward"], facet="none")
    rows = rows_of(experiment, Unscored.EXCLUDE)
    assert [value.label for value in found.groups] == ["none", "a", "b"]
    for point in found.points:
        kind = None if point.group == "none" else point.group
        own = [
            row.reward
            for row in rows
            if row.example.metadata["kind"] == kind and row.arm.scaffold_title == point.series.name
        ]
        assert point.value.mean == pytest.approx(mean(own), **EXACT)


def test_the_parts_of_a_summary_have_names_of_their_own(experiment):
    points = chart(experiment, "summary").points
    names = [(point.facet, point.group, point.series, point.measure) for point in points]
    assert len(set(names)) == len(names) > 0


def tokens_by_model(rng, arm, number):
    """Of the model "untold" the RLM's tokens are not known; of "negative" its rewards are below 0."""
    reward = -1.0 if (arm.model, arm.scaffold) == ("negative", "rlm") else 0.25 + number % 2
    tokens = None if (arm.model, arm.scaffold) == ("untold", "rlm") else 100 + number
    return {"reward": reward, "main_prompt_tokens": tokens, "main_completion_tokens": tokens}


def test_an_efficiency_that_is_not_known_is_no_zero_and_spoils_no_other():
    models = ("good", "negative", "untold")
    made = make(
        [Plan(scaffold=scaffold, model=model) for model in models for scaffold in ("llm", "rlm")],
        row=tokens_by_model,
    )
    found = {(point.group, point.series.name): point for point in chart(made, "efficiency").points}
    good, negative, untold = (found[f"oolong · model {model}", "RLM"] for model in models)
    assert (good.value.mean, good.plain) == (pytest.approx(1), pytest.approx(1))
    assert (untold.value, untold.plain, untold.unknown) == (None, None, 8)
    assert untold.why == "not known of 8 rollouts"
    assert negative.value is None
    assert "below 0" in negative.why


def test_a_point_of_which_nothing_counts_leads_nowhere():
    def row(rng, arm, number):
        return {"reward": None, "stop_reason": "prompt_too_long"} if arm.scaffold == "llm" else {"reward": 1.0}

    made = make([Plan(), Plan(scaffold="rlm")], row=row)
    refused, scored = chart(made, "reward", unscored="common").points
    assert (refused.counted, refused.query) == (0, f"arm:{made.arms.first().pk} outcome:scored")
    assert (scored.counted, scored.query) == (0, None)


def test_examples_of_two_environments_that_share_a_number_are_asked_for_by_no_filter():
    """The first example of one counts in the pool, that of the other does not."""

    def row(rng, arm, number):
        spoils = arm.environment == "zeta" and arm.scaffold == "llm" and number == 0
        return {"reward": None, "stop_reason": "prompt_too_long"} if spoils else {"reward": 1.0}

    made = make(
        [Plan(environment=name, scaffold=scaffold) for name in ("oolong", "zeta") for scaffold in ("llm", "rlm")],
        row=row,
    )
    llms, rlms = chart(made, "reward", unscored="common", by="scaffold", facet="none").points
    assert (llms.counted, rlms.counted) == (15, 15)
    assert llms.query.endswith("outcome:scored")
    assert rlms.query is None


def test_the_numbers_have_all_panels_and_the_page_as_many_as_it_can_carry():
    made = make([Plan(environment_settings={"knob": f"k{at:02}"}) for at in range(50)], examples=2)
    found = chart(made, "reward", by="scaffold", facet="set.knob")
    assert [point.facet for point in found.points] == [f"k{at:02}" for at in range(50)]
    drawn = charts.plotted(found)
    assert len(drawn.panels) + drawn.left_away == 50
    assert drawn.left_away > 0
