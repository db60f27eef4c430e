"""Rollouts without a reward count as the switch says."""

import numpy as np
import pytest

from rlm_runs.analysis.aggregates.frame import Frame, Outcome
from rlm_runs.analysis.aggregates.unscored import Unscored, select_counted

NAN = float("nan")
FRAME = Frame(
    {
        "rollout": np.arange(8),
        "arm": np.array([1, 1, 1, 1, 2, 2, 2, 2]),
        "example": np.array([1, 2, 3, 4, 1, 2, 3, 4]),
        "outcome": np.array(
            [
                *(Outcome.SCORED, Outcome.TOO_LONG, Outcome.SCORED, Outcome.UNFINISHED),
                *(Outcome.SCORED, Outcome.SCORED, Outcome.UNJUDGED, Outcome.SCORED),
            ]
        ),
        "reward": np.array([1.0, NAN, 0.5, NAN, 0.0, 1.0, NAN, 1.0]),
        "tokens": np.array([10.0, 0.0, 30.0, NAN, 50.0, 60.0, 70.0, 80.0]),
    }
)


@pytest.mark.parametrize(
    ("unscored", "rollouts", "rewards"),
    [
        (Unscored.EXCLUDE, [0, 2, 4, 5, 7], [1.0, 0.5, 0.0, 1.0, 1.0]),
        (Unscored.ZERO, [0, 1, 2, 4, 5, 6, 7], [1.0, 0.0, 0.5, 0.0, 1.0, 0.0, 1.0]),
        (Unscored.COMMON, [0, 4], [1.0, 0.0]),
    ],
)
def test_what_counts(unscored, rollouts, rewards):
    found = select_counted(FRAME, unscored)
    assert found["rollout"].tolist() == rollouts
    assert found["reward"].tolist() == rewards


def test_what_a_rollout_took_is_kept_where_its_reward_counts_as_zero():
    assert select_counted(FRAME, Unscored.ZERO)["tokens"].tolist() == [10.0, 0.0, 30.0, 50.0, 60.0, 70.0, 80.0]
