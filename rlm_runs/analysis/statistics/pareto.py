"""The Pareto front: arms that no other arm beats in both reward and cost, with their certainty."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .by_example import Table
from .resampling import MOST_RESAMPLED, Floats, divided, resampled_sums


def pareto_front(costs: ArrayLike, rewards: ArrayLike) -> NDArray[np.bool_]:
    """Returns whether each arm is on the front: no other arm is at least as good in both and better in one.

    `costs` (or seconds, or tokens; less is better) and `rewards`: [arms]. Arms with equal values are on it
    together. An arm with NaN (an unknown cost or reward) is never on it and beats no other.
    """
    front = _fronts(np.asarray(costs, dtype=np.float64)[:, None], np.asarray(rewards, dtype=np.float64)[:, None])
    on_front: NDArray[np.bool_] = front[:, 0]
    return on_front


def front_shares(costs: Table, rewards: Table) -> Floats:
    """Returns the share of resamples in which each arm is on the front: [arms], NaN if it lacks a cost or a
    reward.

    Costs and rewards of all arms are drawn together, by example. More than 2,048 examples are drawn in 2,048 lots
    of several examples each. Raises ValueError if the tables' arms or examples differ.
    """
    if not np.array_equal(costs.arms, rewards.arms) or not np.array_equal(costs.examples, rewards.examples):
        raise ValueError("costs and rewards must be of the same arms and examples")
    resampled_costs, resampled_rewards = _resampled_means(costs), _resampled_means(rewards)
    known = (~np.isnan(resampled_costs) & ~np.isnan(resampled_rewards)).sum(axis=1)
    return divided(_fronts(resampled_costs, resampled_rewards).sum(axis=1), known, otherwise=np.nan)


def _resampled_means(table: Table) -> Floats:
    """Returns resampled means, [arms, RESAMPLES], NaN without values. Not centred, so that sums of 0/1 tie
    exactly.
    """
    pooled = table.pooled(MOST_RESAMPLED)
    arms = len(table.arms)
    sums = resampled_sums(np.concatenate([pooled.sums, pooled.counts]))
    return divided(sums[:arms], sums[arms:], otherwise=np.nan)


def _fronts(costs: Floats, rewards: Floats) -> NDArray[np.bool_]:
    """Returns the front of each column: [arms, columns]."""
    front = ~np.isnan(costs) & ~np.isnan(rewards)
    for arm in range(len(costs)):
        no_worse = (costs <= costs[arm]) & (rewards >= rewards[arm])
        better = (costs < costs[arm]) | (rewards > rewards[arm])
        front[arm] &= ~(no_worse & better).any(axis=0)
    return front
