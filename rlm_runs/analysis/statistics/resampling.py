"""Bootstrap over examples: fixed random weights, weighted sums of many columns at once, and BCa limits.

It is the Poisson bootstrap: in each resample, each example counts 0, 1, 2, … times, drawn with mean 1
independently of the others, and statistics divide by the weights' sum. An example's weights depend on its place
alone. So arms with other examples, or fewer, share one table of weights; it is kept in blocks of places, 2.6 MB
each; and the same values give the same interval on every page, alone or beside other arms. For means of few
examples it is also a little wider than drawing n of n, by just the (n − 1)/n that the usual bootstrap is too
narrow.

Limits are BCa (bias-corrected and accelerated), with tails of Student's t instead of the normal ("expanded").
Chosen by simulation (1,500 samples each of normal, exponential, lognormal, partial rewards, and repeated 0/1
rewards; 10, 20 and 50 examples; nominal 95 %): the percentile interval covered 81-95 %, plain t 82-95 %,
expanded BCa 91-98 %; bootstrap-t covered 92-99 %, but its limits are often infinite where most values are 0 or
1. BCa also stays within the range of the values and serves ratios as it serves means. The limits themselves are
random by some 2 % of the interval's width: other seeds, or examples in another order, would move them so far.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TypeVar

import numpy as np
import scipy
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Item = TypeVar("Item")

RESAMPLES = 10_000
FEWEST_RESAMPLED = 7
"""With fewer examples the resampled means, which reach no further than the values, do not reach far enough."""
MOST_RESAMPLED = 2_048
"""Beyond, the analytic interval is as good, and takes no time."""

_SEED = 20_260_101
_BLOCK = 256
_DRAWS = 1 << 16


def _poisson_table() -> NDArray[np.uint8]:
    """Returns a uniform 16-bit draw → a Poisson(1) count."""
    terms = np.array([math.exp(-1) / math.factorial(count) for count in range(10)])
    return np.searchsorted(np.cumsum(terms), (np.arange(_DRAWS) + 0.5) / _DRAWS).astype(np.uint8)


_COUNT_OF_DRAW = _poisson_table()


@lru_cache(maxsize=MOST_RESAMPLED // _BLOCK)
def _weights(block: int) -> NDArray[np.uint8]:
    """Weights of 256 examples: [256, RESAMPLES]. All blocks together take 20 MB."""
    draws = np.random.default_rng([_SEED, block]).integers(_DRAWS, size=(_BLOCK, RESAMPLES), dtype=np.uint16)
    weights = _COUNT_OF_DRAW[draws]
    weights.flags.writeable = False
    return weights


def resampled_sums(columns: Floats) -> Floats:
    """Σ weight × value over the examples, for each resample: [columns, examples] → [columns, RESAMPLES].

    At most MOST_RESAMPLED examples. Single precision inside: centre a column whose sum is small beside its
    values.
    """
    count = columns.shape[1]
    if count > MOST_RESAMPLED:
        raise ValueError(f"{count} examples are too many to resample (at most {MOST_RESAMPLED})")
    sums = np.zeros((columns.shape[0], RESAMPLES))
    for start in range(0, count, _BLOCK):
        part = columns[:, start : start + _BLOCK].astype(np.float32)
        sums += part @ _weights(start // _BLOCK)[: part.shape[1]].astype(np.float32)
    return sums


def batches(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """At most 64 at a time: bounds the memory, 80 kB a column, however many arms there are."""
    return (items[start : start + 64] for start in range(0, len(items), 64))


def divided(numerators: Floats, denominators: Floats, *, otherwise: float) -> Floats:
    """Returns the quotient, `otherwise` where the denominator is 0."""
    filled = np.full(np.broadcast_shapes(numerators.shape, denominators.shape), otherwise)
    np.divide(numerators, denominators, out=filled, where=denominators != 0)
    return filled


def bca_limits(
    replicates: Floats, *, estimate: float, influence: Floats, count: int, confidence: float
) -> tuple[float, float]:
    """Returns the limits of a statistic from its resamples, by BCa (Efron 1987).

    `replicates`: [RESAMPLES], infinite values allowed, no NaN. `influence`: each example's pull on the estimate,
    up to a factor: [examples], 0 for missing ones. `count`: the number of examples that are not missing.
    """
    below = np.count_nonzero(replicates < estimate) + np.count_nonzero(replicates <= estimate)
    bias = float(scipy.special.ndtri(np.clip(below / 2, 1, len(replicates) - 1) / len(replicates)))
    spread = float(np.sum(influence**2)) ** 1.5
    acceleration = float(np.sum(influence**3)) / (6 * spread) if spread else 0.0
    reach = student_t(degrees=count - 1, confidence=confidence)
    low, high = (_shifted(bias, acceleration, side * reach) for side in (-1, 1))
    last = len(replicates) - 1
    places = [math.floor(low * last), math.ceil(high * last)]
    limits = np.partition(replicates, places)[places]
    return float(limits[0]), float(limits[1])


def _shifted(bias: float, acceleration: float, z: float) -> float:
    """Returns the quantile that BCa takes in place of the one at `z`."""
    return float(scipy.special.ndtr(bias + (bias + z) / max(1 - acceleration * (bias + z), 0.1)))


def student_t(*, degrees: int, confidence: float = 0.95) -> float:
    """Returns the two-sided critical value of Student's t."""
    return float(scipy.special.stdtrit(degrees, 0.5 + confidence / 2))
