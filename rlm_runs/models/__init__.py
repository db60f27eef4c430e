"""The store. Its modules:

- `experiments`: specs, arms, examples and rollouts; `actions`: their log; `experiment_tags`
- `history`: earlier attempts and outcomes of rollouts; `forks`: rollouts that continue another one
- `traces`: turns and executions; `texts`: their content; `live`: the state of running rollouts
- `model_calls`: calls by hour, spend by day, probes; `repricing`: former costs
- `stopping`: arms that ended early; `review`: comments, tags and scores by people
- `sharing`: saved views and shared links; `drafts`: launch forms
- `workers`: worker processes; `limits`: their shares of endpoints; `circuits`: failing models; `spending`: budgets
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
