"""The arithmetic of shared limits, played over minutes by processes with clocks of their own."""

from __future__ import annotations

import random
from collections import defaultdict

import pytest

from rlm_runs.execution.limits.shares import (
    HORIZON,
    VALIDITY,
    WINDOW,
    Ask,
    Holding,
    Limits,
    Pace,
    fair_share,
    granted,
    returned,
)


def most_within(times, *, seconds=60.0):
    """The largest sum of the amounts of any window of so many seconds."""
    times, most, held, first = sorted(times), 0, 0, 0
    for at, amount in times:
        held += amount
        while times[first][0] <= at - seconds:
            held -= times[first][1]
            first += 1
        most = max(most, held)
    return most


def play(limits, *, processes, seconds, size, seed=1):
    """Calls of so many busy processes: (time of its begin, tokens) of each. Grants are used at a random moment."""
    chance, pace, begun = random.Random(seed), Pace(), []
    looks = sorted(chance.uniform(0, seconds) for _ in range(round(seconds * 4 * processes)))
    for now in looks:
        calls = [size(chance) for _ in range(50)]
        others = [Ask(0, calls).holding] * (processes - 1)
        grant = granted(limits, pace, Ask(0, calls), others=others, now=now)
        for tokens in calls[: grant.startable]:
            begun.append((now + chance.uniform(0, VALIDITY), tokens))
    return begun


@pytest.mark.parametrize("limit", [1, 7, 60, 1000, 12_345])
@pytest.mark.parametrize("processes", [1, 5])
def test_no_minute_has_more_requests_than_are_allowed(limit, processes):
    begun = play(Limits(requests_per_minute=limit), processes=processes, seconds=400, size=lambda _: 1)
    counted = [(at, 1) for at, _ in begun]
    assert most_within(counted) <= limit
    late = [at for at, _ in counted if at > 60]
    assert len(late) / limit / (340 / 60) >= 0.85 or limit == 1


@pytest.mark.parametrize("limit", [10_000, 1_000_000])
def test_no_minute_has_more_tokens_than_are_allowed(limit):
    begun = play(
        Limits(tokens_per_minute=limit),
        processes=3,
        seconds=400,
        size=lambda chance: round(limit * chance.choice([0.001, 0.01, 0.2])),
    )
    assert most_within(begun) <= limit
    assert sum(tokens for at, tokens in begun if at > 60) / limit / (340 / 60) >= 0.85


def test_a_call_that_is_larger_than_the_limit_waits_for_an_empty_minute():
    pace, limits = Pace(), Limits(tokens_per_minute=100)
    assert granted(limits, pace, Ask(0, [50]), others=(), now=0.0).startable == 1
    later = [granted(limits, pace, Ask(0, [150]), others=(), now=float(now)).startable for now in range(1, 100)]
    assert later.index(1) + 1 >= 60
    assert sum(later) == 1


def test_requests_are_spread_evenly():
    begun = play(Limits(requests_per_minute=60), processes=2, seconds=120, size=lambda _: 1)
    assert most_within([(at, 1) for at, _ in begun], seconds=10) <= 10 + HORIZON + VALIDITY + 1


def test_tokens_that_were_not_used_come_back_and_excess_counts():
    pace, limits = Pace(), Limits(tokens_per_minute=100)
    assert granted(limits, pace, Ask(0, [90]), others=(), now=0.0).tokens == 90
    assert granted(limits, pace, Ask(0, [50]), others=(), now=58.0).tokens == 0
    returned(limits, pace, 60, second=0)
    assert granted(limits, pace, Ask(0, [50]), others=(), now=58.0).tokens == 50
    returned(limits, pace, -20, second=58)
    assert granted(limits, pace, Ask(0, [1]), others=(), now=58.0).tokens == 0
    assert granted(limits, pace, Ask(0, [20]), others=(), now=58.0 + WINDOW + 2).tokens == 20


def test_unused_tokens_of_a_minute_ago_are_no_credit():
    pace, limits = Pace(), Limits(tokens_per_minute=100)
    granted(limits, pace, Ask(0, [90]), others=(), now=0.0)
    granted(limits, pace, Ask(0, [90]), others=(), now=100.0)
    returned(limits, pace, 90, second=0)
    assert sum(pace.tokens.values()) == 90


@pytest.mark.parametrize(
    ("limit", "mine", "others", "share"),
    [
        (10, 3, [], 3),
        (10, 30, [], 10),
        (10, 30, [30], 5),
        (10, 30, [2], 8),
        (10, 2, [30], 2),
        (9, 30, [1, 30], 4),
        (2, 5, [5, 5], 1),
    ],
)
def test_places_are_shared_fairly_and_none_is_left(limit, mine, others, share):
    assert fair_share(limit, mine, others) == share


def test_no_more_places_are_leased_than_there_are():
    chance, limits = random.Random(3), Limits(concurrency=10)
    leases, in_flight = defaultdict(Holding), [0, 0, 0]
    used = []
    for _ in range(5000):
        me = chance.randrange(3)
        in_flight[me] -= chance.randint(0, in_flight[me])
        calls = [1] * chance.choice([0, 0, 3, 40])
        ask = Ask(in_flight[me], calls, spare=chance.randint(0, 4))
        others = [leases[other] for other in range(3) if other != me]
        grant = granted(limits, Pace(), ask, others=others, now=0.0)
        leases[me] = Holding(grant.places, ask.holding.wanted)
        in_flight[me] += grant.startable
        assert in_flight[me] <= grant.places
        assert sum(lease.places for lease in leases.values()) <= 10
        used.append(sum(in_flight))
    assert max(used) == 10


def test_who_holds_too_much_begins_nothing_until_it_has_its_share():
    grant = granted(Limits(concurrency=10), Pace(), Ask(10, [1] * 5), others=[Holding(wanted=20)], now=0.0)
    assert (grant.places, grant.usable, grant.startable) == (10, 5, 0)


def test_calls_without_a_place_take_no_request():
    limits, pace = Limits(concurrency=2, requests_per_minute=600), Pace()
    assert granted(limits, pace, Ask(0, [1] * 100), others=(), now=0.0).requests == 2
