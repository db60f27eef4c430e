"""Holm's correction against statsmodels."""

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from rlm_runs.analysis.statistics import holm


@pytest.mark.parametrize("count", [1, 2, 11, 66])
def test_holm_as_statsmodels(count):
    p = np.round(np.random.default_rng(count).random(count) ** 3, 2)  # with ties
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1], abs=1e-12)


def test_what_could_not_be_compared_does_not_count():
    np.testing.assert_allclose(holm([0.01, np.nan, 0.04]), [0.02, np.nan, 0.04])


def test_of_nothing():
    assert holm([]).tolist() == []


def test_the_order_is_that_given():
    p = np.array([0.2, 0.001, 0.03])
    assert holm(p[[2, 0, 1]]).tolist() == holm(p)[[2, 0, 1]].tolist()
