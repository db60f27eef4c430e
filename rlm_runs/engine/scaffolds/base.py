"""What a scaffold is: the way a model is driven to an answer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from sandbox.contract import Sandbox

from ..cancellation import Control
from ..conversation import Conversation, Ended
from ..environments.base import Environment, Example, Settings
from ..run import Run


@dataclass
class Task:
    """What a scaffold is given: the example in its environment, and the means to work on it.

    `open_sandbox` gives a fresh sandbox for a block's time, which ends when the control is stopped. `root` is set
    by the scaffold as soon as the conversation begins, so that whoever catches its failure can end it; `answer`
    gives the answer so far.
    """

    run: Run
    environment: Environment[Settings]
    example: Example
    open_sandbox: Callable[[Control], AbstractContextManager[Sandbox]]
    root: Conversation | None = None
    answer: Callable[[], str] = str


class Scaffold(Protocol):
    """Drives a model through one example."""

    def __call__(self, task: Task) -> Ended:
        """Runs to the end. Raises RolloutFailure or SandboxError."""
