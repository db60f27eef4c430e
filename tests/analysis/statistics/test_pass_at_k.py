"""pass@k and pass^k against counting all choices."""

from itertools import combinations

import numpy as np
import pytest

from rlm_runs.analysis.statistics import mean_interval, pass_at_k, pass_hat_k, pass_rate


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_as_counting_every_choice_of_k_attempts(k):
    for attempts in range(k, 7):
        for successes in range(attempts + 1):
            outcomes = [1] * successes + [0] * (attempts - successes)
            choices = list(combinations(outcomes, k))
            at_least_one = np.mean([any(chosen) for chosen in choices])
            all_of_them = np.mean([all(chosen) for chosen in choices])
            assert pass_at_k([successes], [attempts], k=k)[0] == pytest.approx(at_least_one, abs=1e-12)
            assert pass_hat_k([successes], [attempts], k=k)[0] == pytest.approx(all_of_them, abs=1e-12)


def test_of_one_attempt_both_are_the_share_of_successes():
    assert pass_at_k([3], [4], k=1)[0] == pytest.approx(0.75)
    assert pass_hat_k([3], [4], k=1)[0] == pytest.approx(0.75)


def test_where_all_attempts_are_chosen_each_example_is_a_success_or_a_failure():
    """The values are exact, so that their mean is a proportion."""
    attempts = np.arange(1, 40)
    assert pass_hat_k(attempts, attempts, k=1).tolist() == [1.0] * 39
    assert pass_at_k([0, 3, 7], [7, 7, 7], k=7).tolist() == [0.0, 1.0, 1.0]
    assert pass_rate(pass_hat_k([0, 3, 7], [7, 7, 7], k=7), k=7).interval.method == "Wilson"


def test_thousands_of_attempts_do_not_overflow():
    assert pass_at_k([10], [100_000], k=1_000)[0] == pytest.approx(1 - 0.99**10, rel=1e-3)


def test_examples_with_fewer_attempts_are_left_out_and_counted():
    by_example = pass_at_k([1, 2, 0, 3], [4, 4, 1, 4], k=2)
    assert np.isnan(by_example).tolist() == [False, False, True, False]
    found = pass_rate(by_example, k=2)
    assert (found.k, found.short, found.interval.n) == (2, 1, 3)
    assert found.interval.mean == pytest.approx((0.5 + 5 / 6 + 1) / 3)
    assert found.interval.high <= 1.0


def test_where_no_example_has_k_attempts_there_is_no_rate():
    found = pass_rate(pass_hat_k([1, 0], [2, 2], k=3), k=3)
    assert (found.interval, found.short) == (None, 2)


def test_the_interval_is_over_examples():
    successes = np.random.default_rng(1).integers(0, 5, 30)
    by_example = pass_hat_k(successes, np.full(30, 4), k=2)
    assert pass_rate(by_example, k=2).interval == mean_interval(by_example)


@pytest.mark.parametrize(
    ("successes", "attempts", "k"), [([3], [2], 1), ([-1], [2], 1), ([1], [2], 0), ([1], [2, 2], 1)]
)
def test_impossible_counts_are_refused(successes, attempts, k):
    with pytest.raises(ValueError, match=r"k must be|successes must be"):
        pass_at_k(successes, attempts, k=k)
