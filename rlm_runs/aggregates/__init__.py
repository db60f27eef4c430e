"""What pages sum up, in a bounded number of queries. Nothing here reads a text.

`progress`: how far experiments are; `arms`: their arms in numbers; `frame`: rollouts as columns, which figures and
comparisons are computed from; `measures`: what of a rollout can be plotted; `counting`: which rollouts count;
`differences`: the settings in which arms differ.
"""

from .arms import ArmSummary, BestArm, Comparison, Summary, best_arms, summary
from .counting import TOO_LONG, Unscored
from .differences import differing_settings
from .progress import Progress, progress, progress_by_experiment

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
