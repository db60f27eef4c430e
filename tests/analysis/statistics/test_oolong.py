"""Paired statistics on the article's rows for Oolong/real."""

import csv
from pathlib import Path

import numpy as np
import pytest

from rlm_runs.analysis.statistics import (
    Table,
    compare_paired,
    compare_to,
    front_shares,
    mean_intervals,
    ratio_intervals,
)

from .oolong import ACCEPTED, ARMS, TABLE

PUBLISHED = Path(__file__).parents[4] / "shared/data/oolong_real_gpt5mini_raw_results.csv"


def test_means_are_the_published_ones():
    assert [found.mean for found in mean_intervals(TABLE)] == pytest.approx([0.02, 0.14, 0.10])


def test_rlm_is_better_on_seven_and_worse_on_one():
    _, rlm, tips = compare_to(TABLE, baseline=0)
    assert (rlm.n, rlm.better, rlm.worse, rlm.equal, rlm.p) == (50, 7, 1, 42, pytest.approx(0.0703125, abs=1e-12))
    assert (tips.n, tips.better, tips.worse, tips.equal, tips.p) == (50, 4, 0, 46, pytest.approx(0.125, abs=1e-12))
    assert rlm.test == tips.test == "exact McNemar"
    assert (rlm.mean_difference, tips.mean_difference) == (pytest.approx(0.12), pytest.approx(0.08))
    assert (rlm.effect.value, tips.effect.value) == (pytest.approx(7 / 8 - 0.5), 0.5)


def test_on_what_the_api_accepted_there_is_no_lift():
    found = compare_paired(ARMS[0, :ACCEPTED], ARMS[1, :ACCEPTED])
    assert (found.n, found.mean_difference, found.p, found.more_examples) == (23, 0.0, 1.0, None)
    assert found.difference.low < 0 < found.difference.high


def test_the_published_file_gives_the_same():
    if not PUBLISHED.exists():
        pytest.skip("the article's rows are not here")
    rows = list(csv.DictReader(PUBLISHED.read_text().splitlines()))
    modes = ["standard", "rlm", "rlm_tips"]
    by_mode = [[row for row in rows if row["mode"] == mode] for mode in modes]
    rewards = np.array([[float(row["judge_reward"]) for row in of_mode] for of_mode in by_mode])
    accepted = [float(row["turns"]) > 0 for row in by_mode[0]]
    assert np.array_equal(rewards, ARMS)
    assert accepted == [True] * ACCEPTED + [False] * (50 - ACCEPTED)


def test_an_efficiency_over_one_solved_example_has_no_upper_limit():
    """In a third of the resamples the plain model solves nothing at all."""
    tokens = Table.of(
        np.random.default_rng(1).lognormal(11, 1, 150),
        arms=np.repeat([0, 1, 2], 50),
        examples=np.tile(np.arange(50), 3),
    )
    _, rlm, _ = ratio_intervals(TABLE, tokens, baseline=0)
    assert rlm.low is not None
    assert rlm.high is None


def test_the_front_is_not_sure():
    costs = Table.of(
        np.repeat([1.0, 2.0, 2.0], 50), arms=np.repeat([0, 1, 2], 50), examples=np.tile(np.arange(50), 3)
    )
    shares = front_shares(costs, TABLE)
    assert shares[0] == 1.0  # nothing is cheaper
    assert 0.7 < shares[1] < 0.95
    assert 0.1 < shares[2] < 0.4
