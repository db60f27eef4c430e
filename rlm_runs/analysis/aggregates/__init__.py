"""The numbers on pages, each computed in a bounded number of queries that read no texts.

- `snapshot`: one experiment at a moment, kept in the process until it changes;
- `frame`: rollouts as columns, the input of figures and comparisons;
- `tallies`: counts and sums by arm and state; `progress`: the progress of experiments;
- `provider_bill`: the costs that providers report;
- `arms`: the arms of an experiment with their comparisons; `arm_differences`: the settings in which arms differ;
- `measures`: the numbers of a rollout that can be plotted; `dimensions` and `metadata_keys`: what they can be
  plotted by; `points`: the numbers of a figure;
- `decisions`: arms that early stopping ended; `baselines`: the arms that others are compared with;
- `uncertain_tokens`: truncated prompts, and estimated token counts;
- `unscored`: whether rollouts without a reward count.
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
from .decisions import decisions, ended_early_words
from .progress import Progress, progress, progress_by_experiment, progress_from, snapshot_progress
from .provider_bill import ProviderBill, provider_bill
from .snapshot import Snapshot, forget, snapshot
from .uncertain_tokens import UncertainTokens, uncertain_tokens, uncertain_words
from .unscored import TOO_LONG, Unscored

__all__ = [
    "TOO_LONG",
    "ArmPassRates",
    "ArmSummary",
    "BestArm",
    "Comparison",
    "Progress",
    "ProviderBill",
    "Snapshot",
    "Summary",
    "UncertainTokens",
    "Unscored",
    "best_arms",
    "decisions",
    "differing_settings",
    "ended_early_words",
    "forget",
    "pass_rates",
    "progress",
    "progress_by_experiment",
    "progress_from",
    "provider_bill",
    "snapshot",
    "snapshot_progress",
    "summary",
    "uncertain_tokens",
    "uncertain_words",
]
