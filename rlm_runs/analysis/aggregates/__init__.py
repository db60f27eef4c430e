"""What pages sum up, in a bounded number of queries. Nothing here reads a text.

`progress`: how far experiments are; `tally`: what that is counted from; `snapshot`: one of them as it is now,
kept until it changes; `arms`: its arms in numbers; `frame`: rollouts as columns, which figures and comparisons are
computed from; `measures`: what of a rollout can be plotted; `dimensions` and `metadata`: what it can be plotted
by; `points`: the numbers of a figure; `counting`: which rollouts count; `differences`: the settings in which arms
differ.
"""

from .arm_differences import differing_settings
from .arms import (
    ArmPassRates,
    ArmSummary,
    BestArm,
    Comparison,
    Summary,
    best_arms,
    pass_rates,
    summary,
)
from .progress import Progress, progress, progress_by_experiment, progress_from
from .snapshot import Snapshot, forget, snapshot
from .unscored import TOO_LONG, Unscored

__all__ = [
    "TOO_LONG",
    "ArmPassRates",
    "ArmSummary",
    "BestArm",
    "Comparison",
    "Progress",
    "Snapshot",
    "Summary",
    "Unscored",
    "best_arms",
    "differing_settings",
    "forget",
    "pass_rates",
    "progress",
    "progress_by_experiment",
    "progress_from",
    "snapshot",
    "summary",
]
