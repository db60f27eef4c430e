"""Successive halving: prunes the weakest arms at rungs, so that the best ones get most of the rollouts.

Sources: Karnin, Koren and Somekh (2013, "Almost optimal exploration in multi-armed bandits") and Jamieson and
Talwalkar (2016, "Non-stochastic best arm identification and hyperparameter optimization"). It looks for the best
arm within a budget and controls no error rate: a pruned arm may be the best one, and pruning yields no p-value.

It is deterministic. A rung is reached when every remaining arm has ended its first rollouts, in the order in which
they are queued. Arms are ranked by their means over the examples of the rung that all of them have.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .progress import ArmProgress, Floats
from .settings import EarlyStopping

_SAME = 1e-9


@dataclass(frozen=True)
class Pruned:
    """An arm that did not pass a rung: its mean over `n` examples, and the mean that it needed.

    `rung` is the number of rollouts after which it was pruned.
    """

    rung: int
    n: int
    mean: float
    needed: float


def pruned(
    arms: Mapping[int, ArmProgress],
    settings: EarlyStopping,
    *,
    safe: frozenset[int] = frozenset(),
    earlier: Mapping[int, int] | None = None,
) -> dict[int, Pruned]:
    """Returns the arms (ids) of one environment that do not pass a rung which all others have reached.

    `safe` arms are never pruned. `earlier` maps arms pruned before to their rungs; they take no part in later
    rungs, even if their rewards change.
    """
    gone = dict(earlier or {})
    alive, found = dict(arms), dict[int, Pruned]()
    rung = settings.min_examples
    while True:
        alive = {arm: progress for arm, progress in alive.items() if gone.get(arm, rung) >= rung}
        if len(alive) - len(safe & alive.keys()) <= settings.keep or not _is_reached(alive.values(), rung):
            return found
        means = _means([alive[arm] for arm in alive], rung)
        if means.shape[1]:
            weakest = _weakest(dict(zip(alive, means, strict=True)), settings, rung=rung, safe=safe)
            found |= weakest
            alive = {arm: progress for arm, progress in alive.items() if arm not in weakest}
        rung *= settings.eta


def _is_reached(arms: Iterable[ArmProgress], rung: int) -> bool:
    """Returns whether all arms have ended this number of rollouts, and have more."""
    return all(rung < each.ended.size and bool(each.ended.T.ravel()[:rung].all()) for each in arms)


def _means(arms: Sequence[ArmProgress], rung: int) -> Floats:
    """Returns each arm's means over the rung's rollouts, on the examples that all of them have: [arms,
    examples].
    """
    means = np.stack([each.first(rung) for each in arms])
    common: Floats = means[:, ~np.isnan(means).any(axis=0)]
    return common


def _weakest(
    means: Mapping[int, Floats], settings: EarlyStopping, *, rung: int, safe: frozenset[int]
) -> dict[int, Pruned]:
    """Returns the arms below the last one that passes. Arms that tie with it pass as well."""
    rivals = {arm: float(values.mean()) for arm, values in means.items() if arm not in safe}
    passing = max(settings.keep, math.ceil(len(rivals) / settings.eta))
    if passing >= len(rivals):
        return {}
    needed = sorted(rivals.values(), reverse=True)[passing - 1]
    return {
        arm: Pruned(rung=rung, n=len(means[arm]), mean=mean, needed=needed)
        for arm, mean in rivals.items()
        if mean < needed - _SAME
    }
