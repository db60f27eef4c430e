"""Checks of Postgres: reachable, recent, migrated, writable, with enough connections, and with the right time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
from django.conf import settings
from django.db import connection

from ..models import WorkerProcess
from ..observability.readiness import pending_migrations
from .findings import Finding, fail, ok, warn

OLDEST_VERSION = 14
"""The oldest major version that Django 5.2 supports."""
CONNECT_SECONDS = 5
SKEW_SECONDS = 2.0
"""The clock difference in seconds from which times on pages look wrong. Leases use the database's clock."""


def reachable() -> bool:
    """Returns whether a new connection opens within CONNECT_SECONDS, without the pool and its longer waits."""
    try:
        _connect().close()
    except psycopg.Error:
        return False
    return True


def check_connection() -> Iterator[Finding]:
    """Yields the address, the server's version and its encoding."""
    try:
        with _connect() as raw:
            version = raw.info.server_version
            encoding = raw.info.parameter_status("server_encoding")
    except psycopg.Error as error:
        advice = "Start Postgres, or correct DATABASE_URL. `make demo` starts an embedded one."
        yield fail("database", f"does not answer: {str(error).strip()}", advice=advice)
        return
    name = f"PostgreSQL {version // 10_000}.{version % 10_000}"
    if version < OLDEST_VERSION * 10_000:
        yield fail("database", name, advice=f"Upgrade to PostgreSQL {OLDEST_VERSION} or newer.")
    else:
        yield ok("database", name)
    if encoding != "UTF8":
        advice = "Create the database anew with ENCODING 'UTF8': texts of models need all of Unicode."
        yield fail("database encoding", str(encoding), advice=advice)
    else:
        yield ok("database encoding", "UTF8")


def check_collation() -> Iterator[Finding]:
    """Yields whether the operating system's sort order is the one with which the indexes were built."""
    row = _row(
        "SELECT datcollate, datcollversion, pg_database_collation_actual_version(oid)"
        " FROM pg_database WHERE datname = current_database()"
    )
    collation, built, actual = row
    if built == actual:
        yield ok("database locale", str(collation))
        return
    advice = "Run REINDEX DATABASE, then ALTER DATABASE … REFRESH COLLATION VERSION."
    yield warn(
        "database locale", f"{collation}: indexes are of version {built}, now it is {actual}", advice=advice
    )


def check_migrations() -> Iterator[Finding]:
    """Yields whether the tables match this code."""
    if pending := pending_migrations():
        found = f"{len(pending)} not applied: {', '.join(pending[:3])}{' …' if len(pending) > 3 else ''}"
        yield fail("migrations", found, advice="Run `python manage.py migrate`.")
    else:
        yield ok("migrations", "all applied")


def check_writable() -> Iterator[Finding]:
    """Yields whether the server accepts writes."""
    (read_only,) = _row("SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean")
    if read_only:
        advice = "DATABASE_URL names a standby, or default_transaction_read_only is on. Name the primary."
        yield fail("database writes", "read-only", advice=advice)
    else:
        yield ok("database writes", "accepted")


def check_connections() -> Iterator[Finding]:
    """Yields whether max_connections suffices for the pools of all workers and one web process."""
    limit, used = _row(
        "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,"
        " (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')"
    )
    pool = settings.DATABASES["default"]["OPTIONS"]["pool"]["max_size"]
    workers = WorkerProcess.objects.alive().count()
    wanted = (workers + 1) * pool
    found = f"{used} of {limit} in use; {workers} workers and a web process may take {wanted}"
    if wanted <= limit:
        yield ok("database connections", found)
        return
    advice = "Raise max_connections, lower DATABASE_POOL, or run fewer worker processes with more --concurrency."
    yield warn("database connections", found, advice=advice)


def check_clock() -> Iterator[Finding]:
    """Yields the difference between this machine's clock and the database's."""
    before = time.time()
    (there,) = _row("SELECT clock_timestamp()")
    after = time.time()
    here = datetime.fromtimestamp((before + after) / 2, tz=UTC)
    skew = abs((there - here).total_seconds())
    found = f"{skew:.1f} s from the database's"
    if skew <= SKEW_SECONDS + (after - before):
        yield ok("clock", found)
    else:
        yield warn("clock", found, advice="Run a time service (chrony, systemd-timesyncd) on both machines.")


def _connect() -> psycopg.Connection[Any]:
    parameters = {key: value for key, value in connection.get_connection_params().items() if key != "pool"}
    parameters |= {"connect_timeout": CONNECT_SECONDS, "autocommit": True}
    return psycopg.connect(**parameters)


def _row(statement: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()
