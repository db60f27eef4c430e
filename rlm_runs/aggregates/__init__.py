"""What pages sum up, in a bounded number of queries. Nothing here reads a text.

`progress`: how far experiments are; `arms`: their arms in numbers; `frame`: rollouts as columns, which figures and
comparisons are computed from; `measures`: what of a rollout can be plotted; `counting`: which rollouts count;
`differences`: the settings in which arms differ.
"""

from .arms import ArmPassRates, ArmSummary, BestArm, Comparison, Summary, best_arms, pass_rates, summary
from .counting import TOO_LONG, Unscored
from .differences import differing_settings
from .progress import Progress, progress, progress_by_experiment
from .snapshot import Snapshot, forget, snapshot

__all__ = [
    "TOO_LONG",
    "ArmSummary",
    "BestArm",
    "Comparison",
    "Progress",
    "Summary",
    "Unscored",
    "best_arms",
    "differing_settings",
    "progress",
    "progress_by_experiment",
    "summary",
]
