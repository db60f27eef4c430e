"""Bootstrap over examples: fixed random weights, weighted sums of many columns at once, and BCa limits.

It is the Poisson bootstrap: in each resample, each example counts 0, 1, 2, … times, drawn independently with mean
1, and statistics divide by the sum of the weights. An example's weights depend only on its place. Arms with other
or fewer examples therefore share one table of weights, kept in blocks of places (2.6 MB each), and the same values
give the same interval on every page, alone or beside other arms. For means of few examples it is slightly wider
than drawing n of n, by the factor (n − 1)/n by which the usual bootstrap is too narrow.

Limits are BCa (bias-corrected and accelerated), with tails of Student's t instead of the normal ("expanded"). The
choice rests on simulations (1,500 samples each of normal, exponential, lognormal, partial rewards, and repeated
0/1 rewards; 10, 20 and 50 examples; nominal 95 %): the percentile interval covered 81-95 %, plain t 82-95 %,
expanded BCa 91-98 %; bootstrap-t covered 92-99 %, but its limits are often infinite if most values are 0 or 1. BCa
also stays within the range of the values and works for ratios as for means. The limits themselves vary by about 2
% of the interval's width with the seed or the order of the examples.
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
"""With fewer examples, resampled means, which cannot leave the range of the values, do not spread enough."""
MOST_RESAMPLED = 2_048
"""With more examples, the analytic interval is as good and costs nothing."""

_SEED = 20_260_101
_BLOCK = 256
_DRAWS = 1 << 16


def _poisson_table() -> NDArray[np.uint8]:
    """Returns a table that maps a uniform 16-bit draw to a Poisson(1) count."""
    terms = np.array([math.exp(-1) / math.factorial(count) for count in range(10)])
    return np.searchsorted(np.cumsum(terms), (np.arange(_DRAWS) + 0.5) / _DRAWS).astype(np.uint8)


_COUNT_OF_DRAW = _poisson_table()


@lru_cache(maxsize=MOST_RESAMPLED // _BLOCK)
def _weights(block: int) -> NDArray[np.uint8]:
    """Returns the weights of 256 examples: [256, RESAMPLES]. All blocks together take 20 MB."""
    draws = np.random.default_rng([_SEED, block]).integers(_DRAWS, size=(_BLOCK, RESAMPLES), dtype=np.uint16)
    weights = _COUNT_OF_DRAW[draws]
    weights.flags.writeable = False
    return weights


def resampled_sums(columns: Floats) -> Floats:
    """Returns Σ weight × value over the examples for each resample: [columns, examples] → [columns, RESAMPLES].

    Raises ValueError for more than MOST_RESAMPLED examples. It computes in single precision: centre a column whose
    sum is small compared with its values.
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
    """Yields at most 64 items at a time, which bounds the memory (80 kB per column) for any number of arms."""
    return (items[start : start + 64] for start in range(0, len(items), 64))


def divided(numerators: Floats, denominators: Floats, *, otherwise: float) -> Floats:
    """Returns the quotient; `otherwise` where the denominator is 0."""
    filled = np.full(np.broadcast_shapes(numerators.shape, denominators.shape), otherwise)
    np.divide(numerators, denominators, out=filled, where=denominators != 0)
    return filled


def bca_limits(
    replicates: Floats, *, estimate: float, influence: Floats, count: int, confidence: float
) -> tuple[float, float]:
    """Returns the BCa limits of a statistic from its resamples (Efron 1987).

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
    """Returns the quantile that BCa uses in place of the one at `z`."""
    return float(scipy.special.ndtr(bias + (bias + z) / max(1 - acceleration * (bias + z), 0.1)))


def student_t(*, degrees: int, confidence: float = 0.95) -> float:
    """Returns the two-sided critical value of Student's t."""
    return float(scipy.special.stdtrit(degrees, 0.5 + confidence / 2))
