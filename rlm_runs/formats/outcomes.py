"""The outcome of an imported rollout. A rollout that failed has no reward, whatever its file says."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TOO_LONG = re.compile(
    r"context[_ ]length|maximum context|context window|prompt[_ ](?:is )?too[_ ]long|overlong ?prompt",
    re.IGNORECASE,
)
_SANDBOX = re.compile(r"sandbox|container|REPL (?:worker|process)", re.IGNORECASE)
_MODEL = re.compile(
    r"ModelError|RateLimit|APIError|APIConnection|APITimeout|InternalServerError|BadRequest|AuthenticationError"
    r"|EmptyModelResponse|overloaded|\b(?:400|401|403|429|500|502|503|529)\b",
)
_TOOL = re.compile(r"ToolError|ToolCallError|ToolParseError")


@dataclass(frozen=True)
class Outcome:
    """The end of a rollout. `boundary` and `error` are empty unless something failed."""

    reward: float | None
    stop_reason: str
    boundary: str = ""
    error: str = ""


def failure(error: str) -> Outcome:
    """Returns the outcome of a failed rollout. Its error's text decides the boundary, "" if it is unclear."""
    if _TOO_LONG.search(error):
        return Outcome(None, "prompt_too_long", "model", error)
    for boundary, pattern in (("sandbox", _SANDBOX), ("tool", _TOOL), ("model", _MODEL)):
        if pattern.search(error):
            return Outcome(None, f"{boundary}_error", boundary, error)
    return Outcome(None, "error", "", error)


def refused_prompt(error: str) -> Outcome:
    """Returns the outcome of a prompt that the API refused as too long. It is never a zero."""
    return Outcome(None, "prompt_too_long", "model", error)
