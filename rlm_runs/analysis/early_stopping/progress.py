"""The rollouts of an experiment by arm, example and repetition, and the differences of two arms in order.

Differences are taken in the order of the examples, up to the first example that one of the two arms has not ended.
The order in which rollouts end depends on their results: short ones come first, and an arm may be short where it
gives up. Taking differences as they arrive would therefore favour one arm while others are open. Waiting for the
gap keeps the sequence a sample in the order in which the examples were drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..aggregates.frame import ENDED_UNSCORED, Frame, Outcome

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class ArmProgress:
    """The rollouts of one arm: `ended` and `rewards`, [examples, repetitions].

    A rollout that does not exist counts as ended. `rewards` are NaN without a counted reward.
    """

    ended: Flags
    rewards: Floats

    def means(self, repetitions: int) -> Floats:
        """Returns the mean over the first repetitions of each example, NaN without a reward: [examples]."""
        return _mean_by_example(self.rewards[:, :repetitions])

    def first(self, count: int) -> Floats:
        """Returns the means over the first rollouts in the order of the queue: repetition, then example."""
        examples, repetitions = self.rewards.shape
        order = np.arange(repetitions) * examples + np.arange(examples)[:, None]
        return _mean_by_example(np.where(order < count, self.rewards, np.nan))

    def have_ended(self, repetitions: int) -> Flags:
        """Returns whether the first repetitions of each example have ended: [examples]."""
        ended: Flags = np.logical_and.reduce(self.ended[:, :repetitions], axis=1)
        return ended


def _mean_by_example(rewards: Floats) -> Floats:
    known = ~np.isnan(rewards)
    means = np.full(len(rewards), np.nan)
    np.divide(np.where(known, rewards, 0.0).sum(axis=1), known.sum(axis=1), out=means, where=known.any(axis=1))
    return means


def progress_of(frame: Frame, arms: Sequence[int], *, unscored: str) -> list[ArmProgress]:
    """Returns the progress of each arm. `frame` holds all rollouts of the experiment with their rewards.

    `unscored` is "exclude" or "zero": the treatment of rollouts that ran and have no reward. Cancelled ones never
    count.
    """
    shape = tuple(int(frame[name].max(initial=-1)) + 1 for name in ("position", "repetition"))
    counted = frame["outcome"] == Outcome.SCORED
    rewards = np.where(counted, frame["reward"], np.nan)
    if unscored == "zero":
        rewards[np.isin(frame["outcome"], ENDED_UNSCORED)] = 0.0
    is_open = frame["outcome"] == Outcome.UNFINISHED
    found = []
    for arm in arms:
        own = frame["arm"] == arm
        place = frame["position"][own], frame["repetition"][own]
        of_arm = ArmProgress(ended=np.ones(shape, dtype=bool), rewards=np.full(shape, np.nan))
        of_arm.ended[place] = ~is_open[own]
        of_arm.rewards[place] = rewards[own]
        found.append(of_arm)
    return found


def differences(arm: ArmProgress, baseline: ArmProgress, *, repetitions: int) -> Floats:
    """Returns the arm's means minus its baseline's, on their common examples before the first unfinished one:
    [examples].
    """
    ended = arm.have_ended(repetitions) & baseline.have_ended(repetitions)
    until = len(ended) if ended.all() else int(np.argmin(ended))
    found = arm.means(repetitions)[:until] - baseline.means(repetitions)[:until]
    return found[~np.isnan(found)]


def stages(arms: Sequence[ArmProgress]) -> list[int]:
    """Returns the numbers of repetitions after which arms are compared: 1, 2, 4, … and all.

    Rollouts go by repetition first, so the first repetition of all examples ends long before the last. Each stage
    is a separate comparison; the stages share the error rate.
    """
    most = max((arm.ended.shape[1] for arm in arms), default=0)
    powers = [2**power for power in range(most.bit_length()) if 2**power < most]
    return [*powers, most] if most else []
