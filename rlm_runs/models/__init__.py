"""The store: `experiments` (specs, arms, examples, rollouts), `actions` (their log), `history` (what rollouts
were before), `forks` (rollouts that continue another one), `traces` (turns and executions), `texts` (their
content), `repricing` (earlier costs), `model_calls` (calls by the hour, spend by the day, probes), `sharing`
(saved views and shared links), `drafts` (launch forms), `stopping` (arms that ended early), `workers` (worker
processes), `limits` (what these share of endpoints), `spending` (what counts against budgets), `circuits`
(models that fail), `review` (comments, tags and scores by people), `experiment_tags` and `live` (what running
rollouts do now).
"""

from .actions import ExperimentAction
from .circuits import Circuit
from .drafts import LaunchDraft
from .experiment_tags import ExperimentTag
from .experiments import Arm, Example, Experiment, Rollout
from .forks import Fork
from .history import Attempt, DroppedText, Rescoring
from .limits import EndpointLease, EndpointState
from .live import LiveView
from .model_calls import ModelHour, ModelProbe, SpendDay
from .repricing import RepricedTurn, Repricing
from .review import Comment, ManualScore, RolloutTag
from .sharing import SavedView, SharedLink
from .spending import ExperimentSpending
from .stopping import ArmDecision, StoppingLook
from .texts import Text
from .traces import Execution, RolloutNote, Trajectory, Turn
from .workers import WorkerProcess

__all__ = [
    "Arm",
    "ArmDecision",
    "Attempt",
    "Circuit",
    "Comment",
    "DroppedText",
    "EndpointLease",
    "EndpointState",
    "Example",
    "Execution",
    "Experiment",
    "ExperimentAction",
    "ExperimentSpending",
    "ExperimentTag",
    "Fork",
    "LaunchDraft",
    "LiveView",
    "ManualScore",
    "ModelHour",
    "ModelProbe",
    "RepricedTurn",
    "Repricing",
    "Rescoring",
    "Rollout",
    "RolloutNote",
    "RolloutTag",
    "SavedView",
    "SharedLink",
    "SpendDay",
    "StoppingLook",
    "Text",
    "Trajectory",
    "Turn",
    "WorkerProcess",
]
