"""The front of reward against cost."""

from statistics import NormalDist

import numpy as np
import pytest

from rlm_runs.analysis.statistics import Table, front_shares, pareto_front


def test_as_comparing_each_with_each():
    draw = np.random.default_rng(1)
    for _ in range(50):
        costs, rewards = draw.integers(0, 5, 12).astype(float), draw.integers(0, 5, 12) / 4
        expected = [
            not any(
                (costs[o] < costs[a] and rewards[o] >= rewards[a])
                or (costs[o] <= costs[a] and rewards[o] > rewards[a])
                for o in range(12)
            )
            for a in range(12)
        ]
        assert pareto_front(costs, rewards).tolist() == expected


def test_ties():
    assert pareto_front([1, 1, 2], [0.5, 0.5, 0.5]).tolist() == [True, True, False]
    assert pareto_front([1, 1], [0.5, 0.6]).tolist() == [False, True]
    assert pareto_front([], []).tolist() == []


def test_an_arm_without_a_price_is_not_on_it_and_beats_nobody():
    assert pareto_front([1, np.nan, 3], [0.5, 1.0, 0.7]).tolist() == [True, False, True]


def arms_and_examples(arms, examples):
    rows, columns = np.indices((arms, examples)).reshape(2, -1)
    return {"arms": rows, "examples": columns}


def test_a_share_says_how_sure_the_front_is():
    """Two arms at one price that tie, a dearer arm that is better, and a dominated one."""
    draw = np.random.default_rng(2)
    rewards = draw.normal([[0.5], [0.5], [0.9], [0.1]], 0.1, (4, 40))
    rewards[1] += rewards[0].mean() - rewards[1].mean()
    ids = arms_and_examples(4, 40)
    costs = np.repeat([1.0, 1.0, 2.0, 1.5], 40)
    shares = front_shares(Table.of(costs, **ids), Table.of(rewards.ravel(), **ids))
    assert shares[0] + shares[1] == pytest.approx(1.0, abs=0.01)
    assert shares[0] == pytest.approx(0.5, abs=0.05)
    assert shares[2:].tolist() == [1.0, 0.0]


def test_arms_that_are_the_same_are_on_it_together():
    ids = arms_and_examples(2, 30)
    rewards = np.tile((np.random.default_rng(3).random(30) < 0.4).astype(float), 2)
    shares = front_shares(Table.of(np.ones(60), **ids), Table.of(rewards, **ids))
    assert shares.tolist() == [1.0, 1.0]


def test_an_arm_without_values_has_no_share():
    ids = {"arms": [0, 0], "examples": [1, 2], "arm_ids": [0, 1]}
    shares = front_shares(Table.of([1.0, 2.0], **ids), Table.of([0.0, 1.0], **ids))
    assert shares[0] == 1.0
    assert np.isnan(shares[1])


def test_thousands_of_examples_are_drawn_in_lots():
    draw = np.random.default_rng(4)
    ids = arms_and_examples(2, 5_000)
    rewards = draw.random((2, 5_000)) + np.array([[0.0], [0.01]])
    shares = front_shares(Table.of(np.ones(10_000), **ids), Table.of(rewards.ravel(), **ids))
    lift = rewards[1].mean() - rewards[0].mean()
    expected = NormalDist().cdf(lift / (2 / 12 / 5_000) ** 0.5)
    assert shares[1] == pytest.approx(expected, abs=0.03)


def test_tables_that_do_not_match_are_refused():
    one, two = (Table.of(np.ones(arms * 3), **arms_and_examples(arms, 3)) for arms in (1, 2))
    with pytest.raises(ValueError, match="same arms"):
        front_shares(one, two)
