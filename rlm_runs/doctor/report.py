"""All checks, in an order in which earlier failures explain later ones."""

from __future__ import annotations

from collections.abc import Iterator

from . import database, disk, endpoints, queue, sandboxes
from .findings import Check, Finding, Status, run

_WITHOUT_DATABASE: tuple[tuple[str, Check], ...] = (
    ("database", database.check_connection),
    ("broker", queue.check_broker),
    ("var", disk.check_var),
)
_WITH_DATABASE: tuple[tuple[str, Check], ...] = (
    ("database writes", database.check_writable),
    ("database locale", database.check_collation),
    ("clock", database.check_clock),
    ("migrations", database.check_migrations),
)
_WITH_TABLES: tuple[tuple[str, Check], ...] = (
    ("database connections", database.check_connections),
    ("workers", queue.check_workers),
    ("sandbox engine", sandboxes.check_engine),
    ("endpoints", endpoints.check_endpoints),
)


def examine() -> Iterator[Finding]:
    """Yields the findings as they are made. Checks that read tables run only on a database with all migrations."""
    yield from run(_WITHOUT_DATABASE)
    if not database.reachable():
        return
    for finding in run(_WITH_DATABASE):
        yield finding
        if finding.subject == "migrations" and finding.status is Status.FAIL:
            return
    yield from run(_WITH_TABLES)
