"""The store: `experiments` (specs, arms, examples, rollouts), `actions` (their log), `history` (what rollouts were
before), `traces` (turns and executions), `texts` (their content), `sharing` (saved views and shared links),
`stopping` (arms that ended early) and `workers` (worker processes).
"""

from .actions import ExperimentAction
from .experiments import Arm, Example, Experiment, Rollout
from .history import Attempt, DroppedText, Rescoring
from .sharing import SavedView, SharedLink
from .stopping import ArmDecision, StoppingLook
from .texts import Text
from .traces import Execution, Trajectory, Turn
from .workers import WorkerProcess

__all__ = [
    "Arm",
    "ArmDecision",
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
    "StoppingLook",
    "Text",
    "Trajectory",
    "Turn",
    "WorkerProcess",
]
