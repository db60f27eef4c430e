"""Metadata keys of examples that figures can group by, found in the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection

_LOOKED_AT = 400
_MOST_WORDS = 24
"""A key with more different texts than this identifies examples instead of grouping them."""
_LONGEST = 80


@dataclass(frozen=True)
class Key:
    """One key with several values. `numeric` says that all of them are numbers."""

    name: str
    numeric: bool


def metadata_keys(examples: Sequence[int]) -> tuple[Key, ...]:
    """Returns the keys in which some of these examples (ids) differ, by name. One query, of at most 400
    examples.
    """
    step = max(1, -(-len(examples) // _LOOKED_AT))
    statement = """
        SELECT pair.key,
               count(DISTINCT pair.value),
               count(*) FILTER (WHERE jsonb_typeof(pair.value) = 'number'),
               count(*) FILTER (WHERE jsonb_typeof(pair.value) IN ('string', 'boolean')),
               count(*) FILTER (WHERE jsonb_typeof(pair.value) IN ('object', 'array')
                                   OR length(pair.value::text) > %s)
        FROM rlm_runs_example e, LATERAL jsonb_each(e.metadata) AS pair
        WHERE e.id = ANY(%s) AND length(pair.key) <= 60
        GROUP BY pair.key ORDER BY pair.key LIMIT 100
    """
    with connection.cursor() as cursor:
        cursor.execute(statement, [_LONGEST, list(examples[::step])])
        return tuple(
            Key(name, numeric=not words)
            for name, different, numbers, words, unfit in cursor.fetchall()
            if different > 1 and not unfit and (numbers or words) and (not words or different <= _MOST_WORDS)
        )
