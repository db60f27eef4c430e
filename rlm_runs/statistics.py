"""How surely: intervals and paired comparisons. Pure functions of numbers; nothing here knows the store."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from scipy.special import stdtrit


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval. `low` and `high` are None where one cluster says nothing of spread."""

    mean: float
    n: int
    low: float | None
    high: float | None
    method: str

    @property
    def half_width(self) -> float | None:
        """The longer arm of the interval: what may stand after a ±, also where the interval is lopsided."""
        if self.low is None or self.high is None:
            return None
        return max(self.mean - self.low, self.high - self.mean)


@dataclass(frozen=True)
class Paired:
    """Two arms on the examples that both have: on how many B is better, worse and equal, and by how much."""

    n: int
    better: int
    worse: int
    mean_difference: float
    p: float

    @property
    def equal(self) -> int:
        """Examples on which neither is better."""
        return self.n - self.better - self.worse


def mean_interval(clusters: Sequence[Sequence[float]], *, confidence: float = 0.95) -> Interval | None:
    """The mean over all values, and its interval; None of nothing.

    A cluster holds the values of one example (one per repetition), which are not independent. Wilson's interval
    where every example has one value of 0 or 1; else Student's t on clusters, cut to [0, 1] where all values
    lie in it.
    """
    values = [value for cluster in clusters for value in cluster]
    if not values:
        return None
    if len(values) == len(clusters) and all(value in (0.0, 1.0) for value in values):
        return wilson(successes=round(sum(values)), n=len(values), confidence=confidence)
    return _clustered_t([cluster for cluster in clusters if cluster], values, confidence=confidence)


def wilson(*, successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of a proportion."""
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low = 0.0 if successes == 0 else centre - reach
    high = 1.0 if successes == n else centre + reach
    return Interval(mean=share, n=n, low=low, high=high, method="Wilson")


def _clustered_t(clusters: Sequence[Sequence[float]], values: Sequence[float], *, confidence: float) -> Interval:
    """Linearised variance of a mean over clusters; with one value each it is the usual s²/n."""
    mean = math.fsum(values) / len(values)
    count = len(clusters)
    if count < 2:
        return Interval(mean=mean, n=len(values), low=None, high=None, method="one example: no interval")
    squares = math.fsum(math.fsum(value - mean for value in cluster) ** 2 for cluster in clusters)
    error = math.sqrt(count / (count - 1) * squares) / len(values)
    reach = student_t(degrees=count - 1, confidence=confidence) * error
    low, high = mean - reach, mean + reach
    if all(0.0 <= value <= 1.0 for value in values):
        low, high = max(low, 0.0), min(high, 1.0)
    clustered = len(values) > count
    return Interval(
        mean=mean, n=len(values), low=low, high=high, method="t, clustered by example" if clustered else "t"
    )


def student_t(*, degrees: int, confidence: float = 0.95) -> float:
    """The two-sided critical value of Student's t."""
    return float(stdtrit(degrees, 0.5 + confidence / 2))


def sign_test(*, better: int, worse: int) -> float:
    """Two-sided exact p of so uneven a split by chance. On 0/1 rewards this is McNemar's exact test."""
    n = better + worse
    tail = sum(math.comb(n, k) for k in range(min(better, worse) + 1))
    return float(min(1.0, 2 * tail / 2**n))


def compare_paired(baseline: Mapping[Hashable, float], other: Mapping[Hashable, float]) -> Paired | None:
    """`other` against `baseline` on the examples that both have; None where they share none."""
    common = baseline.keys() & other.keys()
    if not common:
        return None
    differences = [other[key] - baseline[key] for key in common]
    better = sum(difference > 0 for difference in differences)
    worse = sum(difference < 0 for difference in differences)
    return Paired(
        n=len(differences),
        better=better,
        worse=worse,
        mean_difference=math.fsum(differences) / len(differences),
        p=sign_test(better=better, worse=worse),
    )
