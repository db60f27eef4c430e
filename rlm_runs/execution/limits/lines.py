"""The calls of this process that wait for an endpoint, and its grants of the endpoint's limits.

A `Scope` is one limited thing: an endpoint, or a model of it. A `Line` holds the waiting calls of one model, which
pass the scope of the model and that of its endpoint. Nothing here uses the database; the keeper brings the grants.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from .shares import VALIDITY, Ask, Grant, Limits

LEASE = 10.0
"""Seconds for which a process holds its places without renewing them."""
_RENEW = 3.0
"""Seconds after which a lease is renewed."""
_MOST_SPARE = 16
_MOST_EXPECTED = 64


@dataclass
class Lot:
    """Requests and tokens of one grant. `second` is that of the database's clock; `until` is when the grant
    expires.
    """

    second: int
    until: float
    requests: int
    tokens: int


@dataclass(eq=False)
class Scope:
    """This process's share of one limited thing. Times are of the monotonic clock."""

    name: str
    limits: Limits
    in_flight: int = 0
    started: int = 0
    """Calls begun since the last grant."""
    typical: int = 1
    """Tokens of the last call that began."""
    usable: int = 0
    leased_until: float = 0.0
    lots: deque[Lot] = field(default_factory=deque)
    blocked_until: float = 0.0
    frozen: bool = False
    """Whether a grant is on its way whose places are not known yet."""
    corrections: list[tuple[int, int]] = field(default_factory=list)
    """(second, tokens): tokens to return; negative if they were used in excess."""
    block_for: float | None = None
    """Seconds of a Retry-After that other processes do not know of yet."""

    @property
    def requests(self) -> int:
        """Granted and unused requests."""
        return sum(lot.requests for lot in self.lots)

    @property
    def tokens(self) -> int:
        """Granted and unused tokens."""
        return sum(lot.tokens for lot in self.lots)

    def has_room(self, tokens: int, *, now: float) -> bool:
        """Returns whether a call may begin."""
        if now < self.blocked_until:
            return False
        limits = self.limits
        if limits.concurrency is not None and (
            self.frozen or now >= self.leased_until or self.in_flight >= self.usable
        ):
            return False
        self.drop_stale(now=now)
        if limits.requests_per_minute is not None and self.requests < 1:
            return False
        return limits.tokens_per_minute is None or self.tokens >= tokens

    def begin(self, tokens: int) -> int:
        """Counts a call that begins. Returns the second in which (the last of) its tokens were granted."""
        self.in_flight += 1
        self.started += 1
        self.typical = tokens
        second = 0
        if self.limits.requests_per_minute is not None:
            next(lot for lot in self.lots if lot.requests).requests -= 1
        if self.limits.tokens_per_minute is not None:
            for lot in self.lots:
                taken = min(lot.tokens, tokens)
                lot.tokens -= taken
                tokens -= taken
                second = lot.second
                if not tokens:
                    break
        return second

    def drop_stale(self, *, now: float) -> None:
        """Drops expired grants. Unused tokens are returned, unused requests are lost."""
        while self.lots and now >= self.lots[0].until:
            lot = self.lots.popleft()
            if lot.tokens:
                self.corrections.append((lot.second, lot.tokens))

    @property
    def spare(self) -> int:
        """Places to keep free for future calls if no other process wants them."""
        return min(_MOST_SPARE, max(1, self.started)) if self.in_flight else 0

    @property
    def expected(self) -> list[int]:
        """Estimated tokens of the calls to expect, at the rate since the last grant."""
        return [self.typical] * min(self.started, _MOST_EXPECTED)

    def must_ask(self, *, waiting: bool, now: float) -> bool:
        """Returns whether the shared state must be changed, or the lease renewed."""
        is_paced = (self.limits.requests_per_minute, self.limits.tokens_per_minute) != (None, None)
        return bool(
            waiting
            or self.corrections
            or (self.started and is_paced)
            or now > self.leased_until - LEASE + _RENEW
            or self.usable > self.in_flight + self.spare
        )

    def ask(self, calls: Sequence[int], *, expected: Sequence[int] = ()) -> Ask:
        """Returns the request for a grant with which these calls could begin."""
        return Ask(
            self.in_flight,
            calls,
            requests=self.requests,
            tokens=self.tokens,
            spare=self.spare,
            expected=expected,
        )

    def take(self, grant: Grant, *, asked_at: float, second: int) -> None:
        """Adds a grant. `asked_at` is the time of the request, `second` that of the grant by the
        database's clock.
        """
        self.started = 0
        self.usable = grant.usable
        self.leased_until = asked_at + LEASE - 1
        if grant.requests or grant.tokens:
            self.lots.append(Lot(second, asked_at + VALIDITY, grant.requests, grant.tokens))


@dataclass(eq=False)
class Call:
    """A waiting call with its estimated tokens."""

    tokens: int
    admitted: bool = False
    is_probe: bool = False
    seconds: tuple[int, ...] = ()
    """For each scope, the second of the database's clock in which its tokens were granted."""
    woken: threading.Event = field(default_factory=threading.Event)


class Door(Protocol):
    """A further condition for a model's calls besides limits, such as a closed circuit."""

    def admits(self) -> bool:
        """Returns whether a call may begin."""

    def begun(self) -> bool:
        """Notes that a call begins. Returns whether it is a probe."""


@dataclass(eq=False)
class Line:
    """The waiting calls of one model, in order, with the scopes that they pass."""

    scopes: tuple[Scope, ...]
    door: Door | None = None
    calls: deque[Call] = field(default_factory=deque)

    def admit_next(self) -> bool:
        """Admits the first call if it may begin. Returns whether it did."""
        now = time.monotonic()
        if not self.calls or (self.door is not None and not self.door.admits()):
            return False
        call = self.calls[0]
        if not all(scope.has_room(call.tokens, now=now) for scope in self.scopes):
            return False
        self.calls.popleft()
        call.seconds = tuple(scope.begin(call.tokens) for scope in self.scopes)
        call.is_probe = self.door is not None and self.door.begun()
        call.admitted = True
        call.woken.set()
        return True
