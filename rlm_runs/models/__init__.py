"""The store: `experiments` (specs, arms, examples, rollouts), `traces` (turns and executions), `texts` (their
content), `sharing` (saved views and shared links), `workers` (worker processes) and `limits` (what they share of
endpoints).
"""

from .experiments import Arm, Example, Experiment, Rollout
from .limits import EndpointLease, EndpointState
from .sharing import SavedView, SharedLink
from .texts import Text
from .traces import Execution, Trajectory, Turn
from .workers import WorkerProcess

__all__ = [
    "Arm",
    "EndpointLease",
    "EndpointState",
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
