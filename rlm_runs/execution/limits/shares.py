"""The arithmetic of shared limits: what one process is granted, from the state of an endpoint and the others'
leases.

Nothing here knows the database or the clock; times are seconds. The guarantees, for every window of 60 seconds:

* At most `requests_per_minute` calls begin. Each granted call has its own moment; these are spaced by
  `WINDOW / requests_per_minute`. A call may begin up to HORIZON before its moment and up to VALIDITY after its
  grant, so `WINDOW` is a minute and both of these, and a margin for the way to the server.
* At most `tokens_per_minute` tokens are granted, by the same spacing and by a count over the last WINDOW. A call
  is granted its estimate; the difference to what it used is added or given back when it ends.

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
    """The limits of an endpoint or a model; None is no limit."""

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
    """What a process holds and wants: places, calls that wait, and tokens of these."""

    places: int = 0
    wanted: int = 0
    waiting: int = 0
    waiting_tokens: int = 0


@dataclass(frozen=True)
class Ask:
    """What a process asks for: its calls in flight, and the estimated tokens of calls that could begin, in order.

    `requests` and `tokens` are what it still has from earlier grants. Where no call waits anywhere, it keeps
    `spare` places free, and requests and tokens for calls that it expects.
    """

    in_flight: int
    calls: Sequence[int]
    requests: int = 0
    tokens: int = 0
    spare: int = 0
    expected: Sequence[int] = ()

    @property
    def holding(self) -> Holding:
        """The same as others see it."""
        return Holding(
            wanted=self.in_flight + len(self.calls), waiting=len(self.calls), waiting_tokens=sum(self.calls)
        )


@dataclass(frozen=True)
class Grant:
    """What a process gets: all its places, and further requests and tokens.

    It leases `places`, and begins a call while fewer than `usable` are in flight: less than it leases where it has
    more calls in flight than its share. `startable` is how many of the calls can begin. `wait` is the time until
    more can be granted, None if not known.
    """

    places: int = 0
    usable: int = 0
    requests: int = 0
    tokens: int = 0
    startable: int = 0
    wait: float | None = None


def granted(limits: Limits, pace: Pace, ask: Ask, *, others: Sequence[Holding], now: float) -> Grant:
    """Grants what the limits leave to a process, and moves `pace` on.

    Each step leaves no more calls than the one before: a request is not taken for a call that has no place.
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
    """Corrects tokens that were granted in a second:

    positive ones come back, negative ones were used in excess.
    """
    if limits.tokens_per_minute is None or not tokens:
        return
    if tokens > 0 and second not in pace.tokens:  # outside the window
        return
    pace.tokens[second] = max(0, pace.tokens.get(second, 0) - tokens)
    pace.next_token_at -= tokens * WINDOW / limits.tokens_per_minute


def _usable(limit: int, ask: Ask, others: Sequence[Holding]) -> int:
    """Places that this process may fill: the free part of its fair share, and unclaimed spare places."""
    free = max(0, limit - sum(other.places for other in others))
    wanted = ask.in_flight + len(ask.calls)
    share = fair_share(limit, wanted, [other.wanted for other in others])
    usable = min(wanted, share, free)
    unwanted = limit - wanted - sum(max(other.wanted, other.places) for other in others)
    return usable + max(0, min(ask.spare, unwanted, free - usable))


def fair_share(limit: int, mine: int, others: Sequence[int]) -> int:
    """Max-min fair: who wants little gets all of it, and the rest share what is left equally, rounded up."""
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
    if least > room and used > 0:  # a call that is larger than the limit waits until nothing else counts
        return 0, None
    waiting = sum(other.waiting_tokens for other in others)
    share = math.ceil((now + HORIZON - first) / interval * needed / (needed + waiting))
    count = min(needed, max(least, min(share, room)))
    pace.tokens[int(now)] = pace.tokens.get(int(now), 0) + count
    pace.next_token_at = first + count * interval
    return count, max(0.0, pace.next_token_at - HORIZON - now)


def _fitting(calls: Sequence[int], tokens: int) -> int:
    """Returns how many of the calls, from the first, fit into these tokens."""
    for index, each in enumerate(calls):
        tokens -= each
        if tokens < 0:
            return index
    return len(calls)
