"""The gate before a model's server, whose limits all worker processes share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ...engine.cancellation import CancellationToken
from ...engine.clients.gate import Outcome, Report
from ..endpoints import ModelChoice, Rate
from .keeper import KEEPER
from .lines import Call
from .shares import Limits

_LONGEST_BLOCK = 3600.0
"""Seconds of a Retry-After that are believed."""


class SharedGate:
    """The gate of one model. See `ServerGate`."""

    def __init__(self, model: ModelChoice) -> None:
        endpoint = model.endpoint.name
        self._line = KEEPER.line(
            {f"{endpoint}/{model.name}": _limits(model.served), endpoint: _limits(model.endpoint)}
        )
        self._endpoint = self._line.scopes[1]

    @contextmanager
    def passed(self, control: CancellationToken, *, tokens: int = 0) -> Iterator[Report]:
        """See `ServerGate`."""
        call = Call(tokens)
        KEEPER.enter(self._line, call)
        with control.on_stop(call.woken.set):
            call.woken.wait()
        if not call.admitted or control.reason:
            KEEPER.leave(self._line, call)
            control.check()
        used: int | None = None

        def report(outcome: Outcome) -> None:
            nonlocal used
            usage = outcome.usage
            if usage is not None and usage.prompt is not None and usage.completion is not None:
                used = usage.prompt + usage.completion
            if outcome.retry_after:
                KEEPER.block(self._endpoint, seconds=min(outcome.retry_after, _LONGEST_BLOCK))

        try:
            yield report
        finally:
            KEEPER.end(self._line, call, used=used)

    def fails_since(self, moment: float) -> bool:
        """See `ServerGate`."""
        return False


def _limits(rate: Rate) -> Limits:
    return Limits(rate.concurrency, rate.requests_per_minute, rate.tokens_per_minute)
