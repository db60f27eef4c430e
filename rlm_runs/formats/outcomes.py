"""The end of an imported rollout. A rollout that broke off has no reward, whatever its file says."""

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
    """`boundary` and `error` are empty where nothing failed."""

    reward: float | None
    stop_reason: str
    boundary: str = ""
    error: str = ""


def failure(error: str) -> Outcome:
    """Returns the outcome of a rollout that broke off. The words of its error decide the boundary, "" if they
    do not.
    """
    if _TOO_LONG.search(error):
        return Outcome(None, "prompt_too_long", "model", error)
    for boundary, pattern in (("sandbox", _SANDBOX), ("tool", _TOOL), ("model", _MODEL)):
        if pattern.search(error):
            return Outcome(None, f"{boundary}_error", boundary, error)
    return Outcome(None, "error", "", error)


def refused_prompt(error: str) -> Outcome:
    """Returns the API refused the prompt as too long: never a zero, also where the file writes one."""
    return Outcome(None, "prompt_too_long", "model", error)
