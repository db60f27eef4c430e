"""Sample sizes: the number of examples that a test needs to detect a difference."""

from __future__ import annotations

import math
from statistics import NormalDist

import scipy

from .resampling import student_t

_FAR_BEYOND = 10_000
"""Degrees of freedom above which Student's t is treated as normal."""


def examples_for_binary(*, better: float, worse: float, power: float = 0.8, alpha: float = 0.05) -> int | None:
    """Returns the pairs that McNemar's two-sided test needs if shares `better` and `worse` differ in each
    direction.

    It uses Connor's formula with a continuity correction, because the test is exact: in simulations the power is
    80-92 % where 80 is requested, and 74-78 % without the correction. The result is never so small that the test
    cannot fall below alpha. None if the shares are equal, because no sample shows a difference that does not
    exist.
    """
    difference = abs(better - worse)
    if difference < 1e-12:
        return None
    discordant = better + worse
    normal = NormalDist()
    reach = normal.inv_cdf(1 - alpha / 2) * math.sqrt(discordant)
    reach += normal.inv_cdf(power) * math.sqrt(max(discordant - difference**2, 0.0))
    root = (reach + math.sqrt(reach**2 + 4 * difference)) / (2 * difference)  # of: difference × n − 1 = reach × √n
    return _rounded_up(max(root**2, _fewest_unequal(alpha) / discordant))


def examples_for_means(*, effect: float, power: float = 0.8, alpha: float = 0.05) -> int | None:
    """Returns the pairs that a two-sided paired t test needs for a mean difference of `effect` standard
    deviations.

    The result is never so small that a sign-flip test cannot fall below alpha. None if the effect is 0.
    """
    if abs(effect) < 1e-12:
        return None
    normal = NormalDist()
    least = ((normal.inv_cdf(1 - alpha / 2) + normal.inv_cdf(power)) / effect) ** 2
    count = max(_rounded_up(least), _fewest_unequal(alpha))
    while count < _FAR_BEYOND and _power_of_t(count, effect=abs(effect), alpha=alpha) < power:
        count += 1
    return count


def _power_of_t(count: int, *, effect: float, alpha: float) -> float:
    critical = student_t(degrees=count - 1, confidence=1 - alpha)
    shift = effect * math.sqrt(count)
    return float(
        1 - scipy.special.nctdtr(count - 1, shift, critical) + scipy.special.nctdtr(count - 1, shift, -critical)
    )


def _fewest_unequal(alpha: float) -> int:
    """Returns the fewest differing examples that can be significant. With fewer, 2 × 0.5ⁿ > alpha."""
    return math.ceil(math.log2(2 / alpha))


def _rounded_up(count: float) -> int:
    return math.ceil(count - 1e-9)
