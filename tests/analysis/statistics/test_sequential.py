"""Sequential comparisons: by hand, and by simulation under peeking after every example."""

import math

import numpy as np
import pytest
from scipy import stats

from rlm_runs.analysis.statistics import Finding, first_finding, log_e_values, sequential

TRIALS, EXAMPLES = 1_000, 200
ALPHA = 0.05


def ties(draw, shape):
    """0/1 rewards of two arms that agree on most examples."""
    return draw.choice([-1.0, 0.0, 1.0], size=shape, p=[0.1, 0.8, 0.1])


def few_ties(draw, shape):
    return draw.choice([-1.0, 0.0, 1.0], size=shape, p=[0.4, 0.2, 0.4])


def graded(draw, shape):
    """Partial rewards of two arms of the same quality."""
    return draw.beta(0.4, 0.6, shape) - draw.beta(0.4, 0.6, shape)


def skewed(draw, shape):
    """Seldom a large gain, mostly a small loss: 0.05 × 0.95 − 0.95 × 0.05 = 0."""
    return np.where(draw.random(shape) < 0.05, 0.95, -0.05)


def skewed_graded(draw, shape):
    """A beta distribution with its mass near 0 and a long tail, about its mean."""
    return draw.beta(0.3, 2.7, shape) - 0.1


def near_one(draw, shape):
    """Two arms that nearly always get it right."""
    return (draw.random(shape) < 0.97).astype(float) - (draw.random(shape) < 0.97).astype(float)


NULLS = [ties, few_ties, graded, skewed, skewed_graded, near_one]


def false_alarms_at_most(alpha, trials=TRIALS):
    """The most false alarms among the trials that a true rate of alpha gives in all but one of 10,000 runs."""
    return stats.binom.ppf(0.9999, trials, alpha)


@pytest.mark.parametrize("sample", NULLS)
def test_looking_after_every_example_finds_a_difference_that_is_not_there_at_most_as_often_as_alpha(sample):
    paths = sample(np.random.default_rng(11), (TRIALS, EXAMPLES))
    found = sum(first_finding(path, level=ALPHA) is not None for path in paths)
    assert found <= false_alarms_at_most(ALPHA)


def test_the_usual_test_under_peeking_does_not_keep_alpha():
    """The simulation detects a test that does not hold its error rate."""
    paths = few_ties(np.random.default_rng(11), (TRIALS, EXAMPLES))
    n = np.arange(1, EXAMPLES + 1)
    means = np.cumsum(paths, axis=1) / n
    spread = np.sqrt(np.maximum(np.cumsum(paths**2, axis=1) / n - means**2, 1e-9))
    looks = np.abs(means / (spread / np.sqrt(n)))[:, 9:]
    assert (looks > 1.96).any(axis=1).sum() > 4 * false_alarms_at_most(ALPHA)


@pytest.mark.parametrize("sample", NULLS)
@pytest.mark.parametrize("shift", [0.0, 0.04])
def test_the_confidence_sequence_covers_the_mean_at_every_n_at_once(sample, shift):
    """The mean is refuted at no n exactly if it is inside the interval at every n."""
    paths = sample(np.random.default_rng(12), (TRIALS, EXAMPLES)) * (1 - shift) + shift
    missed = sum(log_e_values(path, null=shift).max() >= -math.log(ALPHA) for path in paths)
    assert missed <= false_alarms_at_most(ALPHA)


def test_the_interval_holds_what_no_e_value_refutes():
    for sample in NULLS:
        values = sample(np.random.default_rng(13), 60)
        found = sequential(values, level=ALPHA)
        for limit, outwards in ((found.low, -1), (found.high, 1)):
            inside, outside = limit - outwards * 1e-6, limit + outwards * 1e-6
            assert log_e_values(values, null=inside)[-1] < -math.log(ALPHA)
            assert log_e_values(values, null=outside)[-1] >= -math.log(ALPHA)


def hoeffding_decides(paths, *, alpha):
    """The confidence sequence of predictable-mixture Hoeffding bets, the usual one for bounded values."""
    n = np.arange(1, paths.shape[1] + 1)
    bets = np.minimum(np.sqrt(8 * np.log(2 / alpha) / (n * np.log(1 + n))), 1)
    logs = np.abs(np.cumsum(bets * paths / 2, axis=1)) - np.cumsum(bets**2) / 8 - np.log(2)
    return (logs >= -np.log(alpha)).any(axis=1).mean()


@pytest.mark.parametrize("shares", [(0.05, 0.7, 0.25), (0.1, 0.6, 0.3), (0.2, 0.4, 0.4)])
def test_it_has_far_more_power_than_hoeffdings_bound(shares):
    """A difference of 0.2 of 0/1 rewards; power within 200 examples."""
    paths = np.random.default_rng(14).choice([-1.0, 0.0, 1.0], size=(400, EXAMPLES), p=shares)
    found = [first_finding(path, level=ALPHA) for path in paths]
    power = np.mean([each is not None and each[1] is Finding.AHEAD for each in found])
    assert power > hoeffding_decides(paths, alpha=ALPHA) + 0.3
    assert power > 0.7


def test_it_is_rarely_late_against_a_test_of_fixed_size():
    """At an effect of 0.2 and 200 planned examples it needs about half of them."""
    paths = np.random.default_rng(15).choice([-1.0, 0.0, 1.0], size=(400, EXAMPLES), p=[0.1, 0.6, 0.3])
    found = [first_finding(path, level=ALPHA) for path in paths]
    assert np.mean([EXAMPLES if each is None else each[0] for each in found]) < 0.5 * EXAMPLES


def test_equivalence_is_found_and_is_seldom_wrong():
    draw = np.random.default_rng(16)
    alike = [first_finding(path, level=ALPHA, margin=0.1) for path in ties(draw, (100, 600))]
    assert np.mean([each is not None and each[1] is Finding.EQUIVALENT for each in alike]) > 0.8
    at_the_margin = draw.choice([-1.0, 0.0, 1.0], size=(TRIALS, EXAMPLES), p=[0.05, 0.8, 0.15])
    wrong = sum(
        each is not None and each[1] is not Finding.AHEAD
        for each in (first_finding(path, level=ALPHA, margin=0.1) for path in at_the_margin)
    )
    assert wrong <= false_alarms_at_most(ALPHA)


def test_a_sweep_of_wins_by_hand():
    """After k wins a bettor of fraction f has (1 + f)^k; half the mean of 20 bettors is the capital."""
    fractions = (np.arange(20) + 0.5) / 20
    expected = [math.log(0.5 * ((1 + fractions) ** k).mean()) for k in range(1, 9)]
    assert log_e_values(np.ones(8)) == pytest.approx(expected)
    assert first_finding(np.ones(8), level=0.05) == (8, Finding.AHEAD)
    assert first_finding(-np.ones(8), level=0.05) == (8, Finding.BEHIND)
    assert first_finding(np.ones(7), level=0.05) is None


def test_ties_alone_say_nothing_about_a_difference_of_zero_but_find_equivalence():
    assert first_finding(np.zeros(300), level=0.05) is None
    n, finding = first_finding(np.zeros(300), level=0.05, margin=0.1)
    assert finding is Finding.EQUIVALENT
    before, after = (sequential(np.zeros(k), level=0.05) for k in (n - 1, n))
    assert max(-before.low, before.high) >= 0.1
    assert max(-after.low, after.high) < 0.1


def test_the_finding_is_the_same_whenever_somebody_looks():
    path = np.random.default_rng(17).choice([-1.0, 0.0, 1.0], size=300, p=[0.1, 0.5, 0.4])
    n, finding = first_finding(path, level=0.01)
    assert all(first_finding(path[:seen], level=0.01) is None for seen in range(n))
    assert all(first_finding(path[:seen], level=0.01) == (n, finding) for seen in range(n, 300))


def test_the_least_number_of_examples_is_waited_for():
    assert first_finding(np.ones(40), level=0.05, least=20) == (20, Finding.AHEAD)
    assert first_finding(np.ones(19), level=0.05, least=20) is None


def test_the_order_of_the_first_n_does_not_matter():
    path = np.random.default_rng(18).uniform(-1, 1, 50)
    assert log_e_values(path)[-1] == pytest.approx(log_e_values(path[::-1])[-1])


def test_numbers_stay_finite():
    found = sequential(np.ones(5_000), level=1e-6)
    assert found.e_value == pytest.approx(1e300)
    assert 0.99 < found.low < found.mean == 1 == found.high
    assert found.p_value(families=3) < 1e-200
    assert sequential(np.zeros(1), level=0.05).p_value() == 1.0
    assert sequential([], level=0.05) is None
    assert first_finding([], level=0.05, margin=0.1) is None


def test_what_is_not_bounded_is_refused():
    for values in ([1.5], [float("nan")], [[0.1]]):
        with pytest.raises(ValueError, match="from -1 to 1"):
            log_e_values(values)
