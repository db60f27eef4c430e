"""needle-in-haystack: placement of needles, and scoring."""

import re

from rlm_runs.engine.environments.needle_in_haystack import NeedleInHaystack, NeedleSettings


def environment(**settings):
    return NeedleInHaystack(NeedleSettings(**{"lines": 200, **settings}))


def places(example):
    return [i for i, line in enumerate(example.input_data.splitlines()) if "The secret" in line]


def test_the_haystack_has_so_many_lines_and_needles():
    for example in environment(needles=5).load(n=10, seed=7):
        assert len(example.input_data.splitlines()) == 200
        assert len(places(example)) == 5
        assert set(re.findall(r"is: (\w+)", example.input_data)) == set(example.answer.split(", "))


def test_spread_makes_lengths_differ():
    lengths = {e.metadata["lines"] for e in environment(lines_spread=0.5).load(n=20, seed=7)}
    assert len(lengths) > 10
    assert min(lengths) >= 100
    assert max(lengths) <= 300


def test_position_and_variance_say_where_the_needles_are():
    for example in environment(position=0.5, variance=0.1).load(n=10, seed=7):
        assert all(78 <= place <= 122 for place in places(example))
    for example in environment(position=1.0, variance=0.0).load(n=3, seed=7):
        assert places(example) == [197, 198, 199]


def test_numeric_needles_are_seven_digits():
    for example in environment(needle_type="numeric").load(n=5, seed=7):
        assert all(re.fullmatch(r"\d{7}", needle) for needle in example.answer.split(", "))


def test_partial_match_is_the_share_found_and_only_all_of_them_earn_the_reward():
    needles = environment()
    example = needles.load(n=1, seed=7)[0]
    one, two, three = example.answer.split(", ")
    assert needles.score(example, f"{three}, {one.upper()} and \\boxed{{{two}}}").reward == 1
    partial = needles.score(example, f"{one}, {two}")
    assert (partial.reward, round(partial.metrics["partial_match"], 3)) == (0, 0.667)
    assert needles.score(example, f"x{one}y").metrics["partial_match"] == 0


def test_a_copy_of_the_haystack_is_no_answer():
    needles = environment()
    example = needles.load(n=1, seed=7)[0]
    assert needles.score(example, example.input_data).reward == 0
