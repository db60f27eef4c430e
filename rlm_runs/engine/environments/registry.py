"""The registry of environments by public name: built-in ones, then custom ones."""

from __future__ import annotations

from typing import Any

from .base import Environment
from .custom import add_custom
from .deepdive import DeepDive
from .math_python import MathPython
from .needle_in_haystack import NeedleInHaystack
from .oolong import Oolong
from .verbatim_copy import VerbatimCopy

REGISTRY: dict[str, type[Environment[Any]]] = {
    "deepdive": DeepDive,
    "verbatim-copy": VerbatimCopy,
    "needle-in-haystack": NeedleInHaystack,
    "oolong": Oolong,
    "math-python": MathPython,
}
add_custom(REGISTRY)
