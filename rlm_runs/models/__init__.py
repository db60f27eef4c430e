"""The store. `experiments`: what was asked for; `traces`: what happened; `texts`: the words of it."""

from .experiments import Arm, Example, Experiment, Rollout
from .texts import Text
from .traces import Execution, Trajectory, Turn

__all__ = ["Arm", "Example", "Execution", "Experiment", "Rollout", "Text", "Trajectory", "Turn"]
