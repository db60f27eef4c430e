"""Success rates over repetitions: at least one of k attempts succeeds (pass@k), or all of k do (pass^k)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import ArrayLike

from .intervals import Interval, mean_interval
from .resampling import Floats


@dataclass(frozen=True)
class PassRate:
    """A mean over the examples with at least k attempts; `short` counts the examples with fewer.

    `interval` is None if no example has k attempts; its `n` counts examples.
    """

    k: int
    interval: Interval | None
    short: int


def pass_at_k(successes: ArrayLike, attempts: ArrayLike, *, k: int) -> Floats:
    """Returns the unbiased estimate per example that at least one of k attempts succeeds: 1 − C(n−c, k) / C(n, k).

    `successes` and `attempts` are counts, [examples]; the result is NaN with fewer than k attempts. Raises
    ValueError for k < 1, or more successes than attempts. Source: Chen et al. 2021,
    https://arxiv.org/abs/2107.03374.
    """
    won, tried = _checked(successes, attempts, k=k)
    return 1.0 - _share_of_choices(tried - won, tried, k=k)


def pass_hat_k(successes: ArrayLike, attempts: ArrayLike, *, k: int) -> Floats:
    """Returns the unbiased estimate per example that all k attempts succeed: C(c, k) / C(n, k).

    Arguments, NaN and errors are as in `pass_at_k`.
    """
    won, tried = _checked(successes, attempts, k=k)
    return _share_of_choices(won, tried, k=k)


def pass_rate(by_example: Floats, *, k: int, confidence: float = 0.95) -> PassRate:
    """Returns the mean of `pass_at_k` or `pass_hat_k` over examples, with the interval of a mean of rewards.

    An example counts once, whatever its attempts, because its estimate already accounts for them.
    """
    counted = by_example[~np.isnan(by_example)]
    interval = mean_interval(counted, confidence=confidence, bounds=(0.0, 1.0))
    return PassRate(k=k, interval=interval, short=len(by_example) - len(counted))


def _checked(successes: ArrayLike, attempts: ArrayLike, *, k: int) -> tuple[Floats, Floats]:
    won, tried = np.asarray(successes, dtype=np.float64), np.asarray(attempts, dtype=np.float64)
    if k < 1:
        raise ValueError("k must be at least 1")
    if won.shape != tried.shape or (won < 0).any() or (won > tried).any():
        raise ValueError("successes must be between 0 and attempts, example by example")
    return won, tried


def _share_of_choices(chosen: Floats, among: Floats, *, k: int) -> Floats:
    """Returns C(chosen, k) / C(among, k), NaN where among < k."""
    shares = np.where(among < k, np.nan, 0.0)
    possible = (among >= k) & (chosen >= k)
    few, many = chosen[possible], among[possible]
    # Ordered so that equal counts cancel exactly: if all succeed, the share is 1 and not nearly 1.
    log_gamma = scipy.special.gammaln
    logs = (log_gamma(few + 1) - log_gamma(many + 1)) - (log_gamma(few - k + 1) - log_gamma(many - k + 1))
    shares[possible] = np.exp(logs)
    return shares
