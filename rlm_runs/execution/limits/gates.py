"""The gate before a model's server, with limits that all worker processes share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ...engine.cancellation import CancellationToken
from ...engine.clients.gate import Outcome, Report
from ...engine.events import Usage
from ..circuits.watch import Watcher
from ..endpoints import ModelChoice, Rate
from .keeper import KEEPER
from .lines import Call
from .shares import Limits

_LONGEST_BLOCK = 3600.0
"""The maximum number of seconds of a Retry-After that is honoured."""
_LOOK = 5.0
"""Seconds between two checks of a waiting call for whether its model is given up."""

WATCHER = Watcher(on_change=KEEPER.look_again)
"""This process's view of the circuits."""


class SharedGate:
    """The gate of one model: its limits, those of its endpoint, and its circuit. See `ServerGate`."""

    def __init__(self, model: ModelChoice) -> None:
        endpoint = model.endpoint
        self._watch = WATCHER.watch(model.name, endpoint.circuit)
        self._line = KEEPER.line(
            {f"{endpoint.name}/{model.name}": _limits(model.served), endpoint.name: _limits(endpoint)},
            door=self._watch,
        )
        self._endpoint = self._line.scopes[1]

    @contextmanager
    def passed(self, control: CancellationToken, *, tokens: int = 0) -> Iterator[Report]:
        """See `ServerGate`. Gives the rollout back if its model has failed for too long."""
        call, told = Call(tokens), Outcome()
        good: bool | None = None
        WATCHER.enter(self._watch)
        try:
            self._wait(call, control)

            def report(outcome: Outcome) -> None:
                nonlocal told, good
                told, good = outcome, not outcome.fault
                if outcome.retry_after:
                    KEEPER.block(self._endpoint, seconds=min(outcome.retry_after, _LONGEST_BLOCK))

            try:
                yield report
            finally:
                KEEPER.end(self._line, call, used=_tokens(told.usage))
        finally:
            WATCHER.leave(self._watch, is_probe=call.is_probe, good=good, error=told.fault)

    def fails_since(self, moment: float) -> bool:
        """See `ServerGate`."""
        return self._watch.fails_since(moment)

    def _wait(self, call: Call, control: CancellationToken) -> None:
        KEEPER.enter(self._line, call)
        try:
            with control.on_stop(call.woken.set):
                while not call.woken.wait(_LOOK):
                    if self._watch.is_given_up():
                        control.give_back()
        finally:
            WATCHER.waited(self._watch)
        if not call.admitted or control.reason:
            KEEPER.leave(self._line, call)
            control.check()


def _tokens(usage: Usage | None) -> int | None:
    """Returns all tokens of a call; None if unknown."""
    if usage is None or usage.prompt is None or usage.completion is None:
        return None
    return usage.prompt + usage.completion


def _limits(rate: Rate) -> Limits:
    return Limits(rate.concurrency, rate.requests_per_minute, rate.tokens_per_minute)
