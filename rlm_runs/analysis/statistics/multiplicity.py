"""Multiple comparisons: Holm's correction (1979)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .resampling import Floats


def holm(p_values: ArrayLike) -> Floats:
    """Returns Holm's step-down adjusted p-values in the given order. NaN (no test was possible) is not counted.

    With these, the probability that any comparison below 0.05 is a false positive is at most 0.05.
    """
    p = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(p.shape, np.nan)
    made = np.flatnonzero(~np.isnan(p))
    order = made[np.argsort(p[made], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return adjusted
