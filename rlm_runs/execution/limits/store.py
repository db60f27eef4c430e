"""The shared state in Postgres: one transaction makes grants to one process for all its scopes.

The rows of the scopes are locked in the order of their names. A grant takes one transaction of five statements,
however many calls it is for. Times come from the database's clock.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass

from django.db import connection, transaction

from .lines import LEASE, Scope
from .shares import Grant, Holding, Pace, returned

_LOCK = """
SELECT name, next_request_at, next_token_at, tokens, extract(epoch FROM blocked_until - clock_timestamp())::float8,
       extract(epoch FROM clock_timestamp())::float8
  FROM rlm_runs_endpointstate WHERE name = ANY(%s) ORDER BY name FOR NO KEY UPDATE
"""
_LOOK = """
SELECT name, extract(epoch FROM blocked_until - clock_timestamp())::float8
  FROM rlm_runs_endpointstate WHERE name = ANY(%s) AND blocked_until > clock_timestamp()
"""
_OTHERS = """
SELECT state_id, places, wanted, waiting, waiting_tokens FROM rlm_runs_endpointlease
 WHERE state_id = ANY(%s) AND process <> %s AND expires_at > clock_timestamp()
"""
_SAVE = """
UPDATE rlm_runs_endpointstate SET next_request_at = %s, next_token_at = %s, tokens = %s WHERE name = %s
"""
_LEASE = """
INSERT INTO rlm_runs_endpointlease (state_id, process, places, wanted, waiting, waiting_tokens, expires_at)
VALUES (%s, %s, %s, %s, %s, %s, clock_timestamp() + make_interval(secs => %s))
ON CONFLICT (state_id, process) DO UPDATE SET
  places = EXCLUDED.places, wanted = EXCLUDED.wanted, waiting = EXCLUDED.waiting,
  waiting_tokens = EXCLUDED.waiting_tokens, expires_at = EXCLUDED.expires_at
"""
_BLOCK = """
UPDATE rlm_runs_endpointstate
   SET blocked_until = GREATEST(blocked_until, clock_timestamp() + make_interval(secs => %s)) WHERE name = %s
"""


@dataclass(frozen=True)
class State:
    """One scope under its lock: its pace, the others' leases, the time, and the seconds for which it is
    blocked.
    """

    pace: Pace
    others: Sequence[Holding]
    now: float
    blocked_for: float


@dataclass(frozen=True)
class ScopeGrant:
    """A grant, and the holding that the other processes will see."""

    grant: Grant
    holding: Holding


def create(names: Sequence[str]) -> None:
    """Creates the missing rows of the scopes."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO rlm_runs_endpointstate (name, tokens) SELECT unnest(%s::text[]), '[]'"
            " ON CONFLICT DO NOTHING",
            [list(names)],
        )


def exchange(
    scopes: Sequence[Scope], *, process: str, decide: Callable[[Mapping[str, State]], Mapping[str, ScopeGrant]]
) -> dict[str, State]:
    """Passes the state of the scopes to `decide`, and stores its grants. Returns the state as it was before.

    Corrections of the scopes are applied first. `decide` advances the paces.
    """
    names = [scope.name for scope in scopes]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_LOCK, [names])
        rows = cursor.fetchall()
        cursor.execute(_OTHERS, [names, process])
        others: dict[str, list[Holding]] = defaultdict(list)
        for name, *holding in cursor.fetchall():
            others[name].append(Holding(*holding))
        states = {}
        for name, request_at, token_at, tokens, blocked_for, now in rows:
            pace = Pace(request_at, token_at, {int(second): count for second, count in json.loads(tokens)})
            states[name] = State(pace, others[name], now, max(0.0, blocked_for or 0.0))
        for scope in scopes:
            state = states[scope.name]
            for second, count in scope.corrections:
                returned(scope.limits, state.pace, count, second=second if count > 0 else int(state.now))
        granted = decide(states)
        cursor.executemany(
            _SAVE,
            [
                (s.pace.next_request_at, s.pace.next_token_at, json.dumps(list(s.pace.tokens.items())), name)
                for name, s in states.items()
            ],
        )
        cursor.executemany(
            _LEASE,
            [(name, process, one.grant.places, *astuple(one.holding)[1:], LEASE) for name, one in granted.items()],
        )
    return states


def blocked(names: Sequence[str]) -> dict[str, float]:
    """Returns the seconds for which each scope is still blocked."""
    with connection.cursor() as cursor:
        cursor.execute(_LOOK, [list(names)])
        return dict(cursor.fetchall())


def block(name: str, *, seconds: float) -> None:
    """Blocks all calls of all processes for this number of seconds."""
    with connection.cursor() as cursor:
        cursor.execute(_BLOCK, [seconds, name])


def release(names: Sequence[str], *, process: str) -> None:
    """Returns everything that a process holds."""
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM rlm_runs_endpointlease WHERE process = %s AND state_id = ANY(%s)", [process, list(names)]
        )


def forget_dead() -> None:
    """Deletes leases that expired long ago."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM rlm_runs_endpointlease WHERE expires_at < now() - interval '1 hour'")
