"""Reward against context length: bins and a rolling mean."""

import numpy as np
import pytest

from rlm_runs.analysis.statistics import Binning, binned, mean_interval, rolling_mean, wilson

DRAW = np.random.default_rng(6)
LENGTHS = DRAW.lognormal(12, 0.5, 90).round()
REWARDS = (DRAW.random(90) < 0.4).astype(float)


@pytest.mark.parametrize("by", list(Binning))
@pytest.mark.parametrize("bins", [1, 4, 10])
def test_every_value_is_in_one_bin(by, bins):
    found = binned(LENGTHS, REWARDS, bins=bins, by=by)
    assert sum(each.interval.n for each in found) == 90
    for each in found:
        below = np.less_equal if each is found[-1] else np.less
        inside = (each.low <= LENGTHS) & below(LENGTHS, each.high)
        assert each.interval == mean_interval(REWARDS[inside])
        assert each.mean_x == pytest.approx(LENGTHS[inside].mean())
    assert (found[0].low, found[-1].high) == (LENGTHS.min(), LENGTHS.max())


def test_bins_of_equal_count():
    assert [each.interval.n for each in binned(LENGTHS, REWARDS, bins=9)] == pytest.approx([10] * 9, abs=1)


def test_bins_of_equal_width():
    found = binned(LENGTHS, REWARDS, bins=6, by=Binning.WIDTH)
    widths = [each.high - each.low for each in found]
    assert widths == pytest.approx([(LENGTHS.max() - LENGTHS.min()) / 6] * len(found))


def test_equal_lengths_share_a_bin():
    x = np.repeat([1.0, 2.0, 3.0], [50, 5, 5])
    found = binned(x, np.arange(60.0), bins=6)
    assert [(each.low, each.high, each.interval.n) for each in found] == [(1.0, 2.0, 50), (2.0, 3.0, 10)]
    assert [each.interval.n for each in binned([1.0, 1.0, 2.0, 2.0], np.arange(4.0), bins=2)] == [2, 2]
    (only,) = binned(np.ones(5), np.arange(5.0), bins=3)
    assert (only.low, only.high, only.interval.n) == (1.0, 1.0, 5)


def test_repetitions_in_a_bin_stay_clustered():
    clusters = np.repeat(np.arange(90), 2)
    (found,) = binned(np.repeat(LENGTHS, 2), np.repeat(REWARDS, 2), bins=1, clusters=clusters)
    assert found.interval == mean_interval(np.repeat(REWARDS, 2), clusters=clusters)


def test_of_nothing_there_are_no_bins_and_no_line():
    assert binned([], [], bins=3) == []
    assert len(rolling_mean([], [], window=3).mean) == 0


@pytest.mark.parametrize("y", [REWARDS, REWARDS * 0.3 + DRAW.random(90)])
def test_the_line_is_the_mean_of_each_window(y):
    found = rolling_mean(LENGTHS, y, window=15)
    order = np.argsort(LENGTHS, kind="stable")
    assert len(found.mean) == 76
    for place in (0, 1, 40, 75):
        inside = order[place : place + 15]
        assert found.mean[place] == pytest.approx(y[inside].mean())
        assert found.x[place] == pytest.approx(LENGTHS[inside].mean())


def test_the_band_is_wilsons_for_0_and_1_and_t_otherwise():
    order = np.argsort(LENGTHS, kind="stable")
    of_binary = rolling_mean(LENGTHS, REWARDS, window=20)
    expected = wilson(successes=int(REWARDS[order[:20]].sum()), n=20)
    assert (of_binary.low[0], of_binary.high[0]) == pytest.approx((expected.low, expected.high))
    graded = DRAW.random(6)
    of_graded = rolling_mean(np.arange(6), graded, window=6)
    expected = mean_interval(graded)
    assert (of_graded.low[0], of_graded.high[0]) == pytest.approx((expected.low, expected.high))


def test_repetitions_are_averaged_before_the_window():
    once = rolling_mean(LENGTHS, REWARDS, window=10)
    twice = rolling_mean(
        np.repeat(LENGTHS, 2), np.repeat(REWARDS, 2), window=10, clusters=np.repeat(np.arange(90), 2)
    )
    assert np.allclose(once.mean, twice.mean)
    assert np.allclose(once.low, twice.low)


def test_a_window_wider_than_the_data_holds_all_of_it():
    found = rolling_mean(LENGTHS, REWARDS, window=1_000)
    assert (found.window, found.mean.tolist()) == (90, [pytest.approx(REWARDS.mean())])


def test_windows_without_spread_have_no_band():
    found = rolling_mean(np.arange(6.0), [0.5, 0.5, 0.5, 0.5, 0.1, 0.9], window=3)
    assert np.isnan(found.low).tolist() == [True, True, False, False]
    of_thirds = rolling_mean(np.arange(3_000.0), np.repeat([1 / 3, 2 / 3, 0.1], 1_000), window=500, at_most=3_000)
    assert np.isnan(of_thirds.low).sum() == 3 * 501
    assert np.isnan(rolling_mean(np.arange(3.0), [0.1, 0.2, 0.3], window=1).low).all()


def test_the_band_is_that_of_each_window_alone():
    graded = DRAW.random(60) * 1e4
    found = rolling_mean(np.arange(60), graded, window=6)
    for start in (0, 20, 54):
        alone = mean_interval(graded[start : start + 6])
        assert (found.low[start], found.high[start]) == pytest.approx((alone.low, alone.high))


def test_the_band_keeps_within_the_bounds_told():
    y = np.tile([0.0, 0.0, 0.9], 4)
    assert rolling_mean(np.arange(12), y, window=3).low.min() < 0
    assert rolling_mean(np.arange(12), y, window=3, bounds=(0.0, 1.0)).low.min() == 0.0


def test_a_hundred_thousand_values_make_a_line_of_two_hundred_points():
    x = np.random.default_rng(1).random(100_000)
    found = rolling_mean(x, 3 * x, window=1_000, bounds=(0.0, 3.0))
    assert len(found.mean) == 200
    assert np.allclose(found.mean, 3 * found.x)
    assert sum(each.interval.n for each in binned(x, 3 * x, bins=20)) == 100_000


@pytest.mark.parametrize(
    "call", [lambda: binned([1.0], [1.0], bins=0), lambda: rolling_mean([1.0], [1.0], window=0)]
)
def test_less_than_one_is_refused(call):
    with pytest.raises(ValueError, match="at least one"):
        call()
