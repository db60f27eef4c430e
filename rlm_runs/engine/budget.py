"""The budget of a rollout, enforced by the host at the moment of the call, never by code inside the REPL."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal

from .errors import BudgetSpent
from .events import Usage
from .recording import Spent


@dataclass(frozen=True)
class BudgetLimits:
    """Limits of one rollout; None means no limit. Tokens are prompt plus completion, of the root and all sub-LLMs.

    Each call is checked against the amount spent so far plus the estimates of the calls in flight. A limit can
    therefore be exceeded by one call, and by what calls use beyond their estimates.
    """

    sub_calls: int | None = None
    tokens: int | None = None
    dollars: Decimal | None = None
    seconds: float | None = None


class Budget:
    """The budget of one rollout. It counts spending, including that before the rollout was resumed.
    Thread-safe.
    """

    def __init__(self, limits: BudgetLimits, *, spent: Spent | None = None) -> None:
        spent = spent or Spent()
        self.limits = limits
        self._lock = threading.Lock()
        self._began = time.monotonic() - spent.seconds
        self._sub_calls = spent.sub_calls
        self._tokens = spent.tokens
        self._dollars = spent.dollars
        self._tokens_in_flight = 0
        self._dollars_in_flight = Decimal(0)

    @contextmanager
    def reserved(self, expected: Usage, dollars: Decimal) -> Iterator[None]:
        """Counts the estimate of a call while it is in flight."""
        tokens = (expected.prompt or 0) + (expected.completion or 0)
        with self._lock:
            self._tokens_in_flight += tokens
            self._dollars_in_flight += dollars
        try:
            yield
        finally:
            with self._lock:
                self._tokens_in_flight -= tokens
                self._dollars_in_flight -= dollars

    def charge(self, usage: Usage, cost: Decimal | None) -> None:
        """Adds a completed call to the amount spent."""
        with self._lock:
            self._tokens += (usage.prompt or 0) + (usage.completion or 0)
            self._dollars += cost or 0

    def check(self) -> None:
        """Raises BudgetSpent if the next model call would go beyond a limit."""
        limits = self.limits
        with self._lock:
            tokens = self._tokens + self._tokens_in_flight
            if limits.tokens is not None and tokens >= limits.tokens:
                raise BudgetSpent(f"{tokens:,} of {limits.tokens:,} tokens used", stop_reason="budget_tokens")
            dollars = self._dollars + self._dollars_in_flight
            if limits.dollars is not None and dollars >= limits.dollars:
                raise BudgetSpent(f"${dollars} of ${limits.dollars} spent", stop_reason="budget_dollars")
            if limits.seconds is not None and time.monotonic() - self._began >= limits.seconds:
                raise BudgetSpent(f"{limits.seconds:g} s are over", stop_reason="deadline")

    def take_sub_call(self) -> None:
        """Counts a sub-LLM call that is about to begin. Raises BudgetSpent if none is left."""
        self.check()
        with self._lock:
            if self.limits.sub_calls is not None and self._sub_calls >= self.limits.sub_calls:
                raise BudgetSpent(
                    f"all {self.limits.sub_calls} sub-LLM calls of this rollout are used",
                    stop_reason="budget_sub_calls",
                )
            self._sub_calls += 1
