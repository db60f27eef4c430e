"""The store: `experiments` (specs, arms, examples, rollouts), `actions` (their log), `traces` (turns and
executions), `texts` (their content), `sharing` (saved views and shared links) and `workers` (worker processes).
"""

from .actions import ExperimentAction
from .experiments import Arm, Example, Experiment, Rollout
from .sharing import SavedView, SharedLink
from .texts import Text
from .traces import Execution, RolloutNote, Trajectory, Turn
from .workers import WorkerProcess

__all__ = [
    "Arm",
    "Example",
    "Execution",
    "Experiment",
    "ExperimentAction",
    "Rollout",
    "RolloutNote",
    "SavedView",
    "SharedLink",
    "Text",
    "Trajectory",
    "Turn",
    "WorkerProcess",
]
