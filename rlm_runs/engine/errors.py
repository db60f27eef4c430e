"""Failures of a rollout, each attributed to its boundary.

    RolloutFailure
    ├ ModelFailure             boundary "model"
    │ ├ PromptTooLong          at the first call
    │ │ └ WindowExceeded       later: ends the rollout, and its answer so far counts
    │ └ BadCompletion
    ├ BudgetSpent              boundary "budget": ends the rollout, and its answer so far counts
    ├ FunctionsFailed          boundary "sandbox": the functions in its settings do not run
    └ Stopped                  boundary "control": cancelled, interrupted to run again, or abandoned
      └ CallAborted            the same, while a model call was in flight

A failure of the sandbox is `sandbox.contract.SandboxError`. A failure of an environment's tool is reported to the
model and does not end the rollout.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from .events import FailedTry


class RolloutFailure(Exception):
    """A failure that ends a rollout. `stop_reason` is stored on its row."""

    boundary = "internal"
    stop_reason = "internal_error"


@dataclass
class Tries:
    """The tries of a model call and their time. `seconds` includes `retry_seconds`; `failed` lists the failed
    tries.
    """

    retries: int = 0
    retry_seconds: float = 0.0
    seconds: float = 0.0
    failed: list[FailedTry] = field(default_factory=list)


class ModelFailure(RolloutFailure):
    """The endpoint could not be reached, or it refused the call. The message is the API's own."""

    boundary = "model"
    stop_reason = "model_error"

    cost: Decimal | None = Decimal(0)
    """Dollars: zero if the API refused the call, None if it is unknown whether the call is billed."""
    endpoint_fault = False
    """Whether the endpoint as a whole failed: it is unreachable, broken, or rejects all calls."""
    status: int | None = None
    """The HTTP status, None without a response."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.tries = Tries()


class PromptTooLong(ModelFailure):
    """The API refused the prompt because it exceeds the model's context window."""

    stop_reason = "prompt_too_long"


class WindowExceeded(PromptTooLong):
    """The conversation grew beyond the context window. Its answer so far counts."""

    stop_reason = "window_exceeded"


class BadCompletion(ModelFailure):
    """The endpoint's answer is not a chat completion."""

    stop_reason = "bad_completion"
    cost = None


class BudgetSpent(RolloutFailure):
    """A limit of the budget is reached. `stop_reason` names the limit."""

    boundary = "budget"

    def __init__(self, message: str, *, stop_reason: str) -> None:
        super().__init__(message)
        self.stop_reason = stop_reason


class FunctionsFailed(RolloutFailure):
    """The functions that a scaffold's settings put into the REPL do not run there."""

    boundary = "sandbox"
    stop_reason = "functions_failed"


class Stopped(RolloutFailure):
    """The rollout was stopped from outside: `cancelled` for good, or `interrupted` to run again.

    A sub-LLM is `abandoned` if its cell no longer waits for it.
    """

    boundary = "control"

    def __init__(self, *, stop_reason: str) -> None:
        who = "call" if stop_reason == "abandoned" else "rollout"
        super().__init__(f"the {who} was {stop_reason}")
        self.stop_reason = stop_reason


class HeldForReader(Stopped):
    """The recording is rebuilt, and a person must look at it before a model is called."""

    def __init__(self) -> None:
        super().__init__(stop_reason="interrupted")


class CallAborted(Stopped):
    """A model call was aborted from outside. Its cost is unknown if the server may have received the request."""

    def __init__(self, *, stop_reason: str, sent: bool) -> None:
        super().__init__(stop_reason=stop_reason)
        self.tries = Tries()
        self.cost = None if sent else Decimal(0)
