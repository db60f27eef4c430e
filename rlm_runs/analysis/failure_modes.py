"""Failure modes: rules over a trace that name how a rollout went wrong. Each is a filter and a row of Behaviour.

A rollout has any number of modes. A mode applies only where it is meaningful: a rollout that was cancelled, or
failed for a reason outside the model, did not "never submit". Facts that a file lacks do not count against the
rollout.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

_IN_A_ROW = 3
"""The number of consecutive cells with the same error, or with truncated output, that makes a loop."""
LIMITS = frozenset(
    {"budget_tokens", "budget_dollars", "budget_sub_calls", "deadline", "max_turns", "window_exceeded"}
)
"""Stop reasons that mean that a limit ended the rollout."""


@dataclass(frozen=True)
class FailureMode:
    """A mode as pages show it. `explanation` is one sentence."""

    name: str
    title: str
    explanation: str


FAILURE_MODES = {
    mode.name: mode
    for mode in (
        FailureMode(
            "never_submitted",
            "never submitted",
            "The RLM ended without declaring its answer ready; what `answer` held by then was scored.",
        ),
        FailureMode(
            "no_sub_call",
            "no sub-call",
            "The RLM could call sub-LLMs and called none, whatever came of it.",
        ),
        FailureMode(
            "repeated_error",
            "repeated error",
            f"At least {_IN_A_ROW} cells in a row ended in the same error, type and message.",
        ),
        FailureMode(
            "output_cut_loop",
            "output cut loop",
            f"At least {_IN_A_ROW} cells in a row wrote more than the model is shown.",
        ),
        FailureMode("budget", "budget", "A limit ended it: turns, tokens, dollars or time."),
        FailureMode("too_long", "too long", "The API refused the prompt as longer than the model's window."),
        FailureMode(
            "window_exceeded",
            "window exceeded",
            "The root's conversation grew beyond the model's window; what `answer` held by then was scored.",
        ),
        FailureMode("wrong_answer", "wrong answer", "It submitted an answer, and the reward is less than 1."),
    )
}


@dataclass(frozen=True)
class Facts:
    """The input of the rules. `errors` and `cuts` have an entry per cell of the root, in order.

    `submitted` says whether an answer was submitted, `sub_calls` is the number of sub-LLM calls; both are None if
    unknown. `may_call` says whether the rollout could call sub-LLMs.
    """

    is_rlm: bool
    may_call: bool
    stop_reason: str
    ran_to_end: bool
    reward: float | None
    submitted: bool | None
    sub_calls: int | None
    errors: Sequence[str] = ()
    cuts: Sequence[bool] = ()


def failure_modes(facts: Facts) -> list[str]:
    """Returns the names of the modes of a rollout, in the order of FAILURE_MODES."""
    found = set(_modes(facts))
    return [name for name in FAILURE_MODES if name in found]


def _modes(facts: Facts) -> Iterator[str]:
    if facts.ran_to_end and facts.is_rlm and facts.submitted is False:
        yield "never_submitted"
    if facts.ran_to_end and facts.may_call and facts.sub_calls == 0:
        yield "no_sub_call"
    if _longest_run(facts.errors) >= _IN_A_ROW:
        yield "repeated_error"
    if _longest_run(["cut" if cut else "" for cut in facts.cuts]) >= _IN_A_ROW:
        yield "output_cut_loop"
    if facts.stop_reason == "window_exceeded":
        yield "window_exceeded"
    elif facts.stop_reason in LIMITS:
        yield "budget"
    if facts.stop_reason == "prompt_too_long":
        yield "too_long"
    if facts.reward is not None and facts.reward < 1 and facts.submitted is not False:
        yield "wrong_answer"


def _longest_run(marks: Sequence[str]) -> int:
    """Returns the length of the longest run of equal marks, ignoring empty ones."""
    return max((len(list(run)) for mark, run in groupby(marks) if mark), default=0)
