"""The store: `experiments` (specs, arms, examples, rollouts), `actions` (their log), `history` (what rollouts were
before), `traces` (turns and executions), `texts` (their content), `sharing` (saved views and shared links) and
`workers` (worker processes).
"""

from .actions import ExperimentAction
from .experiments import Arm, Example, Experiment, Rollout
from .history import Attempt, DroppedText, Rescoring
from .sharing import SavedView, SharedLink
from .texts import Text
from .traces import Execution, Trajectory, Turn
from .workers import WorkerProcess

__all__ = [
    "Arm",
    "Attempt",
    "DroppedText",
    "Example",
    "Execution",
    "Experiment",
    "ExperimentAction",
    "Rescoring",
    "Rollout",
    "SavedView",
    "SharedLink",
    "Text",
    "Trajectory",
    "Turn",
    "WorkerProcess",
]
