"""The Pareto front: the arms that no other arm beats in both reward and price, with their certainty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..statistics import Table, front_shares, pareto_front
from .comparison import Keyed
from .frame import Frame
from .unscored import Unscored, select_counted


@dataclass(frozen=True)
class FrontPlace:
    """An arm's place: whether it is on the front, and in which share of the resamples. The share is None if its
    price is unknown.
    """

    is_on: bool
    share: float | None


def front(frame: Frame, arms: Sequence[int], *, price: str, unscored: Unscored) -> tuple[FrontPlace, ...]:
    """Returns the places of the arms in order, from means over their counted rollouts.

    `frame` holds the rollouts of all arms with `reward` and the measure `price`, of which less is better.
    """
    return _front(Keyed(frame), tuple(arms), price, unscored)


@lru_cache(maxsize=64)
def _front(keyed: Keyed, arms: tuple[int, ...], price: str, unscored: Unscored) -> tuple[FrontPlace, ...]:
    kept = select_counted(keyed.frame, unscored)
    rewards, prices = (_table(kept, arms, name) for name in ("reward", price))
    is_on = pareto_front(prices.means, rewards.means)
    shares = front_shares(prices, rewards)
    places = [int(np.searchsorted(rewards.arms, arm)) for arm in arms]
    return tuple(
        FrontPlace(is_on=bool(is_on[place]), share=None if np.isnan(shares[place]) else float(shares[place]))
        for place in places
    )


def _table(frame: Frame, arms: Sequence[int], name: str) -> Table:
    known = ~np.isnan(frame[name])
    return Table.of(
        frame[name][known],
        examples=frame["example"][known],
        arms=frame["arm"][known],
        arm_ids=arms,
        example_ids=np.unique(frame["example"]),
    )
