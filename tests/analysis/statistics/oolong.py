"""What three scaffolds got on fifty examples of Oolong/real: the article's published rewards, example by example.

The plain model's API refused the last 27 prompts as too long; their rewards are the zeros of the article.
"""

import numpy as np

from rlm_runs.analysis.statistics import Table

LLM_SOLVED = [16]
RLM_SOLVED = [9, 25, 26, 28, 31, 35, 37]
TIPS_SOLVED = [9, 16, 25, 31, 35]
ACCEPTED = 23


def rewards(solved):
    found = np.zeros(50)
    found[solved] = 1.0
    return found


ARMS = np.stack([rewards(solved) for solved in (LLM_SOLVED, RLM_SOLVED, TIPS_SOLVED)])
TABLE = Table.of(ARMS.ravel(), arms=np.repeat([0, 1, 2], 50), examples=np.tile(np.arange(50), 3))
