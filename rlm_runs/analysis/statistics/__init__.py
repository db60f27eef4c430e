"""Statistics: intervals, paired comparisons, corrections and sample sizes. Functions of numbers without a store.

Values are flat arrays with the example of each or, for many arms together, a `Table`. All random draws have fixed
seeds, so a page shows the same numbers at each load. Docstrings name the methods and when they apply.
"""

from .by_example import Table
from .heterogeneity import differ_between
from .intervals import Bounds, Interval, mean_interval, mean_intervals, wilson
from .multiplicity import holm
from .paired import (
    Effect,
    Paired,
    bonett_price,
    compare_arms,
    compare_paired,
    compare_to,
    mcnemar,
    sign_flip,
)
from .pareto import front_shares, pareto_front
from .pass_at_k import PassRate, pass_at_k, pass_hat_k, pass_rate
from .planning import examples_for_binary, examples_for_means
from .ratios import ratio_interval, ratio_intervals
from .resampling import RESAMPLES, student_t
from .sequential import Finding, Sequential, first_finding, log_e_values, sequential
from .trends import Bin, Binning, Rolling, binned, rolling_mean

__all__ = [
    "RESAMPLES",
    "Bin",
    "Binning",
    "Bounds",
    "Effect",
    "Finding",
    "Interval",
    "Paired",
    "PassRate",
    "Rolling",
    "Sequential",
    "Table",
    "binned",
    "bonett_price",
    "compare_arms",
    "compare_paired",
    "compare_to",
    "differ_between",
    "examples_for_binary",
    "examples_for_means",
    "first_finding",
    "front_shares",
    "holm",
    "log_e_values",
    "mcnemar",
    "mean_interval",
    "mean_intervals",
    "pareto_front",
    "pass_at_k",
    "pass_hat_k",
    "pass_rate",
    "ratio_interval",
    "ratio_intervals",
    "rolling_mean",
    "sequential",
    "sign_flip",
    "student_t",
    "wilson",
]
