"""Sequential tests of a mean difference, valid whenever and however often the data are examined.

The method is testing by betting (Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by
betting", JRSS-B 86(1), arXiv 2010.09686). A bettor starts with a capital of 1 and bets on each example that the
mean difference is above a null value m, in games that are fair if it is m. The capital is an e-process: the
probability that it ever reaches 1/alpha is at most alpha if m is true (Ville's inequality). This holds at every n
at once, so looking after each example costs nothing. A difference need only lie in [-1, 1], as differences of
rewards in [0, 1] do; it may be graded, skewed or full of ties.

The bets are those of hedged grid-Kelly (hgKelly in the article): each side is the mean capital of 20 bettors who
each stake a constant fraction. Its growth comes close to that of the best fraction in hindsight. Unlike a
predictable plug-in, it depends only on the first n differences and not on their order. One side bets that the mean
is above m and the other that it is below, each with half of the capital. The capital of a side is monotone in m,
so the values of m that neither side refutes form an interval: the confidence sequence.

Over 200 examples with a difference of 0.2 of 0/1 rewards (arms differ on 40 % of them) and alpha = 0.05, the test
decides in 96 % of the runs, the predictable plug-in in 94 %, and Hoeffding's bound in 30 %.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from .resampling import Floats

Flags = NDArray[np.bool_]

_BETTORS = 20
_FRACTIONS = (np.arange(_BETTORS) + 0.5) / _BETTORS
_LOG_HALF = math.log(0.5)
_EDGE = 1e-9
_MOST = 300.0 * math.log(10)
"""The logarithm of the largest reported e-value, 1e300."""


class Finding(Enum):
    """The finding of a sequential comparison: ahead, behind, or a difference smaller than the margin."""

    AHEAD = "ahead"
    BEHIND = "behind"
    EQUIVALENT = "equivalent"


@dataclass(frozen=True)
class Sequential:
    """A mean difference after n examples, with its confidence sequence at `level` and the evidence against 0.

    `log_e` is the logarithm of the largest e-value up to n. The interval covers the mean at all n at once with a
    probability of at least 1 - level.
    """

    n: int
    mean: float
    low: float
    high: float
    log_e: float
    level: float

    @property
    def e_value(self) -> float:
        """The largest e-value up to n; 1e300 stands for all larger ones."""
        return math.exp(min(self.log_e, _MOST))

    def p_value(self, *, families: float = 1.0) -> float:
        """Returns the anytime-valid p-value, times the number of comparisons that share the error rate."""
        return min(1.0, families * math.exp(-min(self.log_e, _MOST)))


def log_e_values(differences: ArrayLike, *, null: float = 0.0) -> Floats:
    """Returns the logarithms of the e-values against a mean difference of `null` after each example:
    [examples].
    """
    values = _checked(differences)
    return np.maximum(_log_capital(values, null=null, sign=1), _log_capital(values, null=null, sign=-1))


def sequential(differences: ArrayLike, *, level: float) -> Sequential | None:
    """Returns the comparison after all these differences, in [-1, 1]; None without any.

    Raises ValueError for a difference out of range.
    """
    values = _checked(differences)
    if not len(values):
        return None
    low, high = _limits(values, level=level)
    return Sequential(
        n=len(values),
        mean=float(values.mean()),
        low=low,
        high=high,
        log_e=max(0.0, float(log_e_values(values).max())),
        level=level,
    )


def first_finding(
    differences: ArrayLike, *, level: float, margin: float | None = None, least: int = 1
) -> tuple[int, Finding] | None:
    """Returns the first n, at least `least`, at which the comparison is decided, and the finding; None while open.

    It is decided if the confidence sequence excludes 0 or, with a margin, lies within (-margin, margin). The
    probability that any such finding is ever wrong is at most `level`. The result depends on the differences in
    their order, not on when it is computed. Raises ValueError for a difference out of range.
    """
    values = _checked(differences)
    needed = -math.log(level)
    found = []
    for finding, sign in ((Finding.AHEAD, 1), (Finding.BEHIND, -1)):
        found += _first(_refuted(values, null=0.0, sign=sign, needed=needed), finding, least=least)
    if margin is not None:
        inside = _refuted(values, null=-margin, sign=1, needed=needed)
        if inside.any():
            inside &= _refuted(values, null=margin, sign=-1, needed=needed)
        found += _first(inside, Finding.EQUIVALENT, least=least)
    return min(found, key=lambda each: each[0], default=None)


def _first(hits: Flags, finding: Finding, *, least: int) -> list[tuple[int, Finding]]:
    places = np.flatnonzero(hits[least - 1 :])
    return [(int(places[0]) + least, finding)] if len(places) else []


def _checked(differences: ArrayLike) -> Floats:
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1 or not (np.abs(values) <= 1).all():
        raise ValueError("differences must be one-dimensional, and from -1 to 1")
    return values


def _log_capital(values: Floats, *, null: float, sign: int) -> Floats:
    """Returns the log of half the capital that bets on a mean above (`sign` 1) or below (-1) the null:
    [examples].
    """
    return _log_mean(_bettors(values, null=null, sign=sign))


def _refuted(values: Floats, *, null: float, sign: int, needed: float) -> Flags:
    """Returns whether the capital has reached `needed` after each example: [examples].

    The mean of the bettors is at most the capital of the richest, which is cheap to compute and usually too small.
    """
    logs = _bettors(values, null=null, sign=sign)
    hits: Flags = logs.max(axis=0, initial=-np.inf) + _LOG_HALF >= needed
    if hits.any():
        hits[hits] = _log_mean(logs[:, hits]) >= needed
    return hits


def _bettors(values: Floats, *, null: float, sign: int) -> Floats:
    """Returns the log of the capital of each bettor after each example: [bettors, examples].

    With x = (d + 1) / 2 and m = (null + 1) / 2, a bettor's capital is multiplied by 1 + f (x - m) / m. Rewards
    repeat, so the logarithms are computed once for each different value.
    """
    different, places = np.unique(values, return_inverse=True)
    return np.cumsum(_growth(different, null=null, sign=sign)[:, places], axis=1)


def _growth(values: Floats, *, null: float, sign: int) -> Floats:
    """Returns the log of the factor by which each value multiplies each bettor's capital: [bettors, values]."""
    growth: Floats = np.log1p(np.multiply.outer(_FRACTIONS, sign * (values - null) / (1 + sign * null)))
    return growth


def _log_mean(logs: Floats) -> Floats:
    """Returns the log of half the mean capital of the bettors, whose logs are [bettors, …]."""
    most = logs.max(axis=0)
    mean: Floats = most + np.log(np.exp(logs - most).mean(axis=0)) + _LOG_HALF
    return mean


def _limits(values: Floats, *, level: float) -> tuple[float, float]:
    """Returns the confidence sequence after all examples. It depends only on the frequency of each difference."""
    different, counts = np.unique(values, return_counts=True)
    needed = -math.log(level)
    mean = float(values.mean())

    def excess(null: float, sign: int) -> float:
        return float(_log_mean(_growth(different, null=null, sign=sign) @ counts)) - needed

    limits = []
    for sign in (1, -1):
        outside = -sign * (1 - _EDGE)
        is_open = -sign * mean > 1 - _EDGE or excess(outside, sign) <= 0
        limits.append(
            -float(sign) if is_open else scipy.optimize.brentq(excess, outside, mean, args=(sign,), xtol=1e-9)
        )
    return limits[0], limits[1]
