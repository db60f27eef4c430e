"""Bootstrap weights, and the resamples made of them."""

import numpy as np
import pytest

from rlm_runs.analysis.statistics import RESAMPLES
from rlm_runs.analysis.statistics.resampling import MOST_RESAMPLED, bca_limits, resampled_sums


def test_weights_are_poisson_of_mean_1():
    """Weights are balanced per example and per resample, and uncorrelated."""
    weights = resampled_sums(np.eye(300))
    assert weights.shape == (300, RESAMPLES)
    assert np.allclose(weights.mean(axis=1), 1.0, atol=0.05)
    assert np.allclose(weights.var(axis=1), 1.0, atol=0.1)
    shares = [np.mean(weights == count) for count in range(4)]
    assert shares == pytest.approx([0.36788, 0.36788, 0.18394, 0.06131], abs=1e-3)
    together = np.corrcoef(weights[:40])
    assert np.abs(together - np.eye(40)).max() < 0.06


def test_blocks_of_examples_differ():
    first, second = resampled_sums(np.eye(257)[[0, 256]])
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.05


def test_an_examples_weights_depend_on_its_place_alone():
    few, many = np.zeros((1, 10)), np.zeros((1, 600))
    few[0, 9] = many[0, 9] = 1.0
    assert np.array_equal(resampled_sums(few), resampled_sums(many))


def test_too_many_examples_are_refused():
    with pytest.raises(ValueError, match="too many"):
        resampled_sums(np.ones((1, MOST_RESAMPLED + 1)))


def test_limits_of_a_symmetric_statistic_are_its_percentiles_at_the_tails_of_t():
    replicates = np.linspace(-1, 1, 10_001)
    influence = np.tile([-1.0, 1.0], 5)
    low, high = bca_limits(replicates, estimate=0.0, influence=influence, count=10, confidence=0.95)
    assert (low, high) == pytest.approx((-0.9763, 0.9763), abs=1e-3)  # Φ(−2.2622) = 0.01184


def test_a_transformation_transforms_the_limits():
    replicates = np.sort(np.random.default_rng(1).lognormal(size=10_000))
    influence = np.random.default_rng(2).exponential(size=30) - 1
    settings = {"influence": influence, "count": 30, "confidence": 0.95}
    plain = bca_limits(replicates, estimate=1.0, **settings)
    logs = bca_limits(np.log(replicates), estimate=0.0, **settings)
    assert np.exp(logs) == pytest.approx(plain)


def test_infinite_replicates_make_an_infinite_limit():
    replicates = np.concatenate([np.linspace(0, 2, 9_000), np.full(1_000, np.inf)])
    low, high = bca_limits(
        replicates, estimate=1.0, influence=np.array([-1.0, 1.0] * 20), count=40, confidence=0.95
    )
    assert 0 < low < 1
    assert high == np.inf
