"""math-python's source reasoning-gym: its procedural tasks whose answer is one mathematical expression.

The package is optional and imported here only, on first use: it requires eleven others, of which three are source
distributions and one of these is C.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .base import DataError
from .math_generated import Problem

TASKS = (
    "simple_equations", "fraction_simplification", "gsm_symbolic", "count_primes", "simple_geometry", "dice",
    "lcm", "complex_arithmetic", "gcd", "decimal_chain_sum", "leg_counting", "basic_arithmetic", "products",
)  # fmt: skip
INSTEAD = 'Set `source` to "generated": its problems are made here, and need no package.'


def problems(*, n: int, seed: int) -> list[Problem]:
    """Returns `n` problems, cycling through the tasks; fewer are a prefix of more. Raises DataError without the
    package.
    """
    size = n // len(TASKS) + 1
    turns = [TASKS[(seed + turn) % len(TASKS)] for turn in range(min(n, len(TASKS)))]
    made = {task: _dataset(task, size=size, seed=seed) for task in turns}
    return [
        _problem(turns[number % len(TASKS)], made[turns[number % len(TASKS)]][number // len(TASKS)])
        for number in range(n)
    ]


def _dataset(task: str, *, size: int, seed: int) -> Any:
    try:
        gym = import_module("reasoning_gym")
    except ImportError as error:
        raise DataError(
            "source 'reasoning-gym' needs a package that is not installed: pip install reasoning-gym (a part of "
            f"it is compiled). {INSTEAD}"
        ) from error
    return gym.create_dataset(task, size=size, seed=seed)


def _problem(task: str, item: Any) -> Problem:
    return Problem(
        kind=task, question=str(item["question"]).strip(), answer=str(item["answer"]).strip().strip("$")
    )
