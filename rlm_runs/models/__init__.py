"""The store. `experiments`: what was asked for; `traces`: what happened; `texts`: the words of it; `sharing`: who
looks at it, and how; `workers`: the processes that run rollouts."""

from .experiments import Arm, Example, Experiment, Rollout
from .sharing import SavedView, SharedLink
from .texts import Text
from .traces import Execution, Trajectory, Turn
from .workers import WorkerProcess

__all__ = [
    "Arm",
    "Example",
    "Execution",
    "Experiment",
    "Rollout",
    "SavedView",
    "SharedLink",
    "Text",
    "Trajectory",
    "Turn",
    "WorkerProcess",
]
