"""The environments by their public names."""

from __future__ import annotations

from typing import Any

from rlm_runs.engine.environments.base import Environment
from rlm_runs.engine.environments.math_python import MathPython
from rlm_runs.engine.environments.needle_in_haystack import NeedleInHaystack
from rlm_runs.engine.environments.oolong import Oolong
from rlm_runs.engine.environments.verbatim_copy import VerbatimCopy

REGISTRY: dict[str, type[Environment[Any]]] = {
    "verbatim-copy": VerbatimCopy,
    "needle-in-haystack": NeedleInHaystack,
    "oolong": Oolong,
    "math-python": MathPython,
}
