"""The readiness of this process: the checks behind /readyz, each with OK or the reason for its failure."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from celery import current_app
from django.db import Error, connection
from django.db.migrations.executor import MigrationExecutor

logger = logging.getLogger(__name__)

OK = "ok"
BROKER_SECONDS = 2
"""The time limit of the broker's check, in seconds."""


@dataclass(frozen=True)
class Readiness:
    """The results by check. All except `broker` must be OK, because workers find queued rollouts without
    messages.
    """

    checks: Mapping[str, str]

    @property
    def is_ready(self) -> bool:
        """Whether every required check is OK."""
        return all(answer == OK for name, answer in self.checks.items() if name != "broker")


def readiness() -> Readiness:
    """Returns the current results. They name no host and no secret, because anyone may read them."""
    checks = {"database": _database(), "migrations": "not checked", "broker": _broker()}
    if checks["database"] == OK:
        checks["migrations"] = _migrations()
    return Readiness(checks)


def _database() -> str:
    """Returns OK, or what is wrong with the database.

    The statement changes no row but needs a database that takes writes, not a standby or a read-only one.
    """
    try:
        with connection.cursor() as cursor:
            cursor.execute("UPDATE django_migrations SET app = app WHERE false")
    except Error as error:
        logger.warning("the database takes no writes", exc_info=error)
        return "the database does not answer, is not migrated or takes no writes"
    return OK


def _migrations() -> str:
    if _migrated.done:
        return OK
    pending = pending_migrations()
    _migrated.done = not pending
    return OK if _migrated.done else f"{len(pending)} migrations are not applied"


class _Migrated:
    """A flag that says whether the migrations of this process's code are applied. They stay applied while
    it runs.
    """

    done = False


_migrated = _Migrated()


def pending_migrations() -> list[str]:
    """Returns the migrations of the code that the database lacks, as `app.name`. Raises DatabaseError."""
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [f"{migration.app_label}.{migration.name}" for migration, _ in plan]


def _broker() -> str:
    return OK if broker_problem() == "" else "the broker does not answer: queued rollouts start a little later"


def broker_problem(connect: Callable[[], None] | None = None) -> str:
    """Returns why the broker cannot be reached, or "" if it can. `connect` replaces the connection in tests."""
    try:
        (connect or _connect)()
    except Exception as error:  # each transport of kombu raises errors of its own library
        return f"{type(error).__name__}: {error}"
    return ""


def _connect() -> None:
    with current_app.connection_for_write(connect_timeout=BROKER_SECONDS) as broker:
        broker.ensure_connection(max_retries=1, timeout=BROKER_SECONDS)
