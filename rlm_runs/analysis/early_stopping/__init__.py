"""Early stopping: finds the arms that need no further rollouts. Pure functions of rollouts as columns.

- `settings`: the table `[early_stopping]` of a spec;
- `progress`: the rollouts of each arm by example and repetition, and the ordered differences of two arms;
- `betting`: arms whose comparison with their baseline is decided;
- `halving`: arms that successive halving prunes;
- `standing`: both for one experiment.

`execution.early_stopping` applies it to the store.
"""

from .settings import EarlyStopping
from .standing import Comparison, End, Standing, standing

__all__ = ["Comparison", "EarlyStopping", "End", "Standing", "standing"]
