"""A test of whether a mean difference depends on the kind of example. A pooled mean hides opposite differences."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .resampling import Floats

_PERMUTATIONS = 2_000
_AT_ONCE = 200
_SEED = 20_261_127


def differ_between(differences: ArrayLike, kinds: ArrayLike) -> float | None:
    """Returns the p-value of a permutation test that the mean difference is the same for all kinds of examples.

    `differences`: [examples]; `kinds`: the kind of each as a number. The statistic is the variance between the
    means of the kinds; under the null hypothesis, kinds are exchangeable. The permutations are the same at each
    call, and the observed assignment counts among them. None with a single kind, or if each kind has only one
    example.
    """
    values = np.asarray(differences, dtype=np.float64)
    _, codes, counts = np.unique(np.asarray(kinds), return_inverse=True, return_counts=True)
    if len(counts) < 2 or counts.max() < 2:
        return None
    centred = values - values.mean()
    belongs = (codes[:, None] == np.arange(len(counts))).astype(np.float64)

    def between(rows: Floats) -> Floats:
        spread: Floats = ((rows @ belongs) ** 2 / counts).sum(axis=1)
        return spread

    seen = float(between(centred[None, :])[0])
    draw = np.random.default_rng(_SEED)
    as_far = 0
    for _ in range(_PERMUTATIONS // _AT_ONCE):
        shuffled = draw.permuted(np.tile(centred, (_AT_ONCE, 1)), axis=1)
        as_far += int(np.count_nonzero(between(shuffled) >= seen * (1 - 1e-9)))
    return (as_far + 1) / (_PERMUTATIONS + 1)
