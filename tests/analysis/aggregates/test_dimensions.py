"""Dimensions are found in the data."""

import numpy as np
import pytest

from rlm_runs.analysis.aggregates.dimensions import arm_parts, dimensions, grouped, numbers, side, stop_reason
from rlm_runs.models import Example, Rollout
from tests.factories.rollout_rows import Plan, make, snapshot

pytestmark = pytest.mark.django_db


def labels(taken, name, **kwargs):
    return [value.label for value in grouped(taken, dimensions(taken)[name], frame=taken.frame(), **kwargs).values]


def test_settings_that_differ_are_dimensions_and_sort_by_type():
    fragments = (100, None, 25, 10)
    plans = [Plan("verbatim-copy", environment_settings={"fragments": each, "same": 1}) for each in fragments]
    taken = snapshot(make(plans, examples=2))
    assert "set.same" not in dimensions(taken)
    assert labels(taken, "set.fragments") == ["none", "10", "25", "100"]


def test_settings_of_scaffold_and_sampling_are_dimensions_too():
    plans = [
        Plan(scaffold="llm"),
        Plan(scaffold="rlm", scaffold_settings={"cell_time_limit": 600}, sampling={"temperature": 0.7}),
        Plan(scaffold="rlm", scaffold_settings={"cell_time_limit": 120}, sampling={"temperature": 0.2}),
    ]
    taken = snapshot(make(plans, examples=2))
    assert labels(taken, "set.cell_time_limit") == ["not set", "120", "600"]
    assert labels(taken, "set.temperature") == ["not set", "0.2", "0.7"]


def test_what_the_axis_tells_is_not_told_by_colour_again():
    plans = [
        Plan(scaffold="rlm_tips", scaffold_settings={"limit": limit, "tips": tips})
        for limit in (1, 2)
        for tips in ("a", "b")
    ]
    taken = snapshot(make(plans, examples=1))
    by = dimensions(taken)["set.limit"]
    variants = side(taken, "variant", told=by.parts)
    assert sorted(set(variants.by_arm.values())) == ["RLM+tips · tips a", "RLM+tips · tips b"]


def test_kinds_of_examples_are_dimensions_but_names_of_examples_are_not():
    taken = snapshot(
        make(
            [Plan()],
            examples=40,
            metadata=lambda at: {"kind": "abc"[at % 3], "name": f"example {at}", "same": 1, "nested": {"at": at}},
        )
    )
    assert [name for name in dimensions(taken) if name.startswith("meta.")] == ["meta.kind"]
    assert labels(taken, "meta.kind") == ["a", "b", "c"]


def test_few_numbers_are_groups_and_many_are_binned():
    taken = snapshot(make([Plan()], examples=40, metadata=lambda at: {"few": at % 4 * 10, "many": at * 1000}))
    assert labels(taken, "meta.few") == ["0", "10", "20", "30"]
    found = grouped(taken, dimensions(taken)["meta.many"], frame=taken.frame(), bins=4)
    assert found.values[0].low == 0
    assert found.values[-1].high == 39_000
    sizes = np.bincount(found.codes)
    assert sizes.min() >= 9
    assert sizes.sum() == 40


def test_a_bin_and_its_filter_hold_the_same():
    taken = snapshot(make([Plan()], examples=40, metadata=lambda at: {"many": at * 1000}))
    dimension = dimensions(taken)["meta.many"]
    found = grouped(taken, dimension, frame=taken.frame(), bins=4)
    at = numbers(taken, dimension, frame=taken.frame())
    for code, value in enumerate(found.values):
        own = at[found.codes == code]
        last = code == len(found.values) - 1
        assert value.term == f"meta.many:>={value.low:.0f} meta.many:{'<=' if last else '<'}{value.high:.0f}"
        assert (own >= value.low).all()
        assert (own <= value.high).all() if last else (own < value.high).all()


def test_an_example_without_the_key_has_a_group_of_its_own():
    experiment = make([Plan()], examples=30, metadata=lambda at: {"many": at} if at else {})
    taken = snapshot(experiment)
    found = grouped(taken, dimensions(taken)["meta.many"], frame=taken.frame(), bins=3)
    assert (found.values[0].label, found.values[0].term) == ("not set", "meta.many:none")
    assert (found.codes == 0).sum() == 1


def test_repetition_outcome_and_stop_reason_are_of_the_rollout():
    experiment = make([Plan()], examples=20, repetitions=2)
    Rollout.objects.filter(experiment=experiment, repetition=1).update(stop_reason="it's 100 % \\ odd")
    taken = snapshot(experiment)
    frame = taken.frame([stop_reason(taken)])
    assert labels(taken, "rep") == ["1", "2"]
    found = grouped(taken, dimensions(taken)["stop"], frame=frame)
    rows = {row.pk: row for row in Rollout.objects.filter(experiment=experiment)}
    for rollout, code in zip(frame["rollout"].tolist(), found.codes.tolist(), strict=True):
        assert found.values[code].label == (rows[rollout].stop_reason or "none yet")


def test_hostile_values_are_quoted_in_their_filter():
    taken = snapshot(make([Plan()], examples=4, metadata=lambda at: {"k": ['a "b"', "c\\d"][at % 2]}))
    terms = {value.term for value in grouped(taken, dimensions(taken)["meta.k"], frame=taken.frame()).values}
    assert terms == {'meta.k:"a \\"b\\""', 'meta.k:"c\\\\d"'}


def test_filters_say_values_as_they_are_stored():
    kinds = [True, False, 2, 0.5, "plain", "10", None]
    taken = snapshot(make([Plan()], examples=7, metadata=lambda at: {"odd key": kinds[at]}))
    found = grouped(taken, dimensions(taken)["meta.odd key"], frame=taken.frame()).values
    assert [(value.label, value.term.removeprefix('meta."odd key":')) for value in found] == [
        ("none", "none"),
        ("no", "false"),
        ("yes", "true"),
        ("0.5", "0.5"),
        ("2", "2"),
        ("10", '"10"'),
        ("plain", "plain"),
    ]


def test_null_and_nothing_are_told_apart_and_no_filter_can():
    taken = snapshot(make([Plan()], examples=3, metadata=lambda at: [{"k": "a"}, {"k": None}, {}][at]))
    found = grouped(taken, dimensions(taken)["meta.k"], frame=taken.frame()).values
    assert [(value.label, value.term) for value in found] == [("not set", None), ("none", None), ("a", "meta.k:a")]


def test_values_that_read_alike_are_told_apart_and_no_filter_that_finds_both_is_given():
    kinds = [5, 5.0, "5", True, "yes", 1, None, "none", "other"]
    taken = snapshot(make([Plan()], examples=9, metadata=lambda at: {"k": kinds[at]}))
    found = grouped(taken, dimensions(taken)["meta.k"], frame=taken.frame())
    assert [(value.label, value.term) for value in found.values] == [
        ("none", "meta.k:none"),
        ("yes", None),
        ("1", None),
        ("5", None),
        ('"5"', None),
        ('"none"', 'meta.k:"none"'),
        ("other", "meta.k:other"),
        ('"yes"', "meta.k:yes"),
    ]
    assert np.bincount(found.codes).tolist() == [1, 1, 1, 2, 1, 1, 1, 1]


def test_settings_that_read_alike_are_different_arms():
    values = [None, "none", True, "yes", "x" * 300, "x" * 299 + "y"]
    taken = snapshot(make([Plan(environment_settings={"k": value}) for value in values], examples=1))
    assert [parts.environment[1][1] for parts in arm_parts(taken.arms).values()] == [
        *("none", '"none"', "yes", '"yes"'),
        *("x" * 300, "x" * 299 + "y"),
    ]
    labels = [value.label for value in grouped(taken, dimensions(taken)["set.k"], frame=taken.frame()).values]
    assert len(set(labels)) == 6
    assert max(map(len, labels)) < 90


def test_nothing_is_read_twice_until_a_rollout_changes(django_assert_num_queries):
    experiment = make([Plan(), Plan(scaffold="rlm")], examples=5, metadata=lambda at: {"many": at})
    first = snapshot(experiment)
    dimensions(first)
    first.metadata("many")
    from rlm_runs.analysis import aggregates

    with django_assert_num_queries(1):
        again = aggregates.snapshot(experiment)
        dimensions(again)
        again.metadata("many")
        again.frame()
    assert again is first
    Rollout.objects.filter(pk=Rollout.objects.filter(experiment=experiment).first().pk).update(status="running")
    assert aggregates.snapshot(experiment) is not first


def test_an_experiment_without_rollouts_has_its_arms():
    experiment = make([Plan(), Plan(scaffold="rlm")], examples=0)
    taken = snapshot(experiment)
    assert set(dimensions(taken)) >= {"group", "variant", "env", "scaffold", "model"}
    assert not Example.objects.exists()
