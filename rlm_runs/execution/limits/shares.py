"""The arithmetic of shared limits: computes one process's grant from an endpoint's state and the others' leases.

It uses neither the database nor the clock; times are in seconds. It guarantees for every window of 60 seconds:

* At most `requests_per_minute` calls begin. Each granted call has its own moment; these are spaced by
  `WINDOW / requests_per_minute`. A call may begin up to HORIZON before its moment and up to VALIDITY after its
  grant, so `WINDOW` is a minute plus both of these and a margin for the way to the server.
* At most `tokens_per_minute` tokens are granted, by the same spacing and by a count over the last WINDOW. A call
  is granted its estimate; when it ends, the difference to its actual use is added or returned.

At most `concurrency` places are leased at any moment.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

HORIZON = 1.0
"""Seconds before its moment at which a call may be granted."""
VALIDITY = 1.25
"""Seconds for which a grant may be used."""
WINDOW = 60 + HORIZON + VALIDITY + 0.75


@dataclass(frozen=True)
class Limits:
    """The limits of an endpoint or a model; None means no limit."""

    concurrency: int | None = None
    requests_per_minute: float | None = None
    tokens_per_minute: int | None = None

    def __bool__(self) -> bool:
        return (self.concurrency, self.requests_per_minute, self.tokens_per_minute) != (None, None, None)


@dataclass
class Pace:
    """The state that all processes share. `tokens` maps a second to the tokens granted in it."""

    next_request_at: float = 0.0
    next_token_at: float = 0.0
    tokens: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Holding:
    """A process's places, those that it wants, its waiting calls and their tokens."""

    places: int = 0
    wanted: int = 0
    waiting: int = 0
    waiting_tokens: int = 0


@dataclass(frozen=True)
class Ask:
    """A request for a grant: the calls in flight, and the estimated tokens of calls that could begin, in order.

    `requests` and `tokens` are left from earlier grants. If no call waits anywhere, the process keeps `spare`
    places free, and requests and tokens for the calls that it expects.
    """

    in_flight: int
    calls: Sequence[int]
    requests: int = 0
    tokens: int = 0
    spare: int = 0
    expected: Sequence[int] = ()

    @property
    def holding(self) -> Holding:
        """The request as other processes see it."""
        return Holding(
            wanted=self.in_flight + len(self.calls), waiting=len(self.calls), waiting_tokens=sum(self.calls)
        )


@dataclass(frozen=True)
class Grant:
    """A grant: all places of the process, and additional requests and tokens.

    The process leases `places`, and begins a call while fewer than `usable` are in flight. `usable` is smaller
    than `places` if more calls are in flight than its share. `startable` is the number of calls that can begin.
    `wait` is the time until more can be granted, None if unknown.
    """

    places: int = 0
    usable: int = 0
    requests: int = 0
    tokens: int = 0
    startable: int = 0
    wait: float | None = None


def granted(limits: Limits, pace: Pace, ask: Ask, *, others: Sequence[Holding], now: float) -> Grant:
    """Returns what the limits leave to a process, and advances `pace`.

    Each step leaves no more calls than the one before: no request is taken for a call without a place.
    """
    places, usable, calls = 0, 0, ask.calls
    if limits.concurrency is not None:
        usable = _usable(limits.concurrency, ask, others)
        places = max(usable, ask.in_flight)
        calls = calls[: max(0, usable - ask.in_flight)]
    if not ask.calls and not any(other.waiting for other in others):
        calls = ask.expected
    tokens, token_wait = 0, None
    if limits.tokens_per_minute is not None:
        tokens, token_wait = _tokens(limits.tokens_per_minute, pace, ask, calls, others, now)
        calls = calls[: _fitting(calls, ask.tokens + tokens)]
    requests, request_wait = 0, None
    if limits.requests_per_minute is not None:
        requests, request_wait = _requests(limits.requests_per_minute, pace, ask, len(calls), others, now)
        calls = calls[: ask.requests + requests]
    waits = [wait for wait in (token_wait, request_wait) if wait is not None]
    return Grant(places, usable, requests, tokens, len(calls), min(waits, default=None))


def returned(limits: Limits, pace: Pace, tokens: int, *, second: int) -> None:
    """Corrects the tokens granted in a second. Positive tokens are returned; negative ones were used in excess."""
    if limits.tokens_per_minute is None or not tokens:
        return
    if tokens > 0 and second not in pace.tokens:  # outside the window
        return
    pace.tokens[second] = max(0, pace.tokens.get(second, 0) - tokens)
    pace.next_token_at -= tokens * WINDOW / limits.tokens_per_minute


def _usable(limit: int, ask: Ask, others: Sequence[Holding]) -> int:
    """Returns the places that this process may fill: the free part of its fair share, and unclaimed spare
    places.
    """
    free = max(0, limit - sum(other.places for other in others))
    wanted = ask.in_flight + len(ask.calls)
    share = fair_share(limit, wanted, [other.wanted for other in others])
    usable = min(wanted, share, free)
    unwanted = limit - wanted - sum(max(other.wanted, other.places) for other in others)
    return usable + max(0, min(ask.spare, unwanted, free - usable))


def fair_share(limit: int, mine: int, others: Sequence[int]) -> int:
    """Returns the max-min fair share: small demands are met in full, and the others share the rest equally,
    rounded up.
    """
    left, claims = limit, sorted([mine, *others])
    for index, claim in enumerate(claims):
        equal = left / (len(claims) - index)
        if claim > equal:
            return min(mine, math.ceil(equal)) if mine >= claim else mine
        left -= claim
    return mine


def _requests(
    limit: float, pace: Pace, ask: Ask, calls: int, others: Sequence[Holding], now: float
) -> tuple[int, float | None]:
    needed = calls - ask.requests
    if needed <= 0:
        return 0, None
    interval = WINDOW / limit
    first = max(now, pace.next_request_at)
    if first > now + HORIZON:
        return 0, first - HORIZON - now
    free = math.floor((now + HORIZON - first) / interval) + 1
    waiting = sum(other.waiting for other in others)
    share = math.ceil(free * calls / (calls + waiting))
    count = min(needed, share, free)
    pace.next_request_at = first + count * interval
    return count, max(0.0, pace.next_request_at - HORIZON - now)


def _tokens(
    limit: int, pace: Pace, ask: Ask, calls: Sequence[int], others: Sequence[Holding], now: float
) -> tuple[int, float | None]:
    needed = sum(calls) - ask.tokens
    if needed <= 0:
        return 0, None
    for second in [second for second in pace.tokens if second <= now - WINDOW]:
        del pace.tokens[second]
    used = sum(pace.tokens.values())
    least = min(needed, max(1, calls[0] - ask.tokens))
    interval = WINDOW / limit
    first = max(now, pace.next_token_at)
    room = limit - used
    if first > now + HORIZON:
        return 0, first - HORIZON - now
    if least > room and used > 0:  # a call larger than the limit waits until nothing else counts
        return 0, None
    waiting = sum(other.waiting_tokens for other in others)
    share = math.ceil((now + HORIZON - first) / interval * needed / (needed + waiting))
    count = min(needed, max(least, min(share, room)))
    pace.tokens[int(now)] = pace.tokens.get(int(now), 0) + count
    pace.next_token_at = first + count * interval
    return count, max(0.0, pace.next_token_at - HORIZON - now)


def _fitting(calls: Sequence[int], tokens: int) -> int:
    """Returns the number of calls, from the first, that fit into these tokens."""
    for index, each in enumerate(calls):
        tokens -= each
        if tokens < 0:
            return index
    return len(calls)
