"""Waiting for an unavailable database, so that a restart or a failover does not fail a rollout."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

import psycopg
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection

logger = logging.getLogger(__name__)

T = TypeVar("T")
AWAY = (OperationalError, InterfaceError, psycopg.OperationalError, psycopg.InterfaceError)
"""Errors of an unavailable database. Those of psycopg come from statements that bypass Django."""
_FIRST_WAIT = 0.1
_LONGEST_WAIT = 2.0


def patiently(action: Callable[[], T]) -> T:
    """Returns the result of `action`, which is called again while the database is unavailable.

    `action` must be safe to repeat, because a connection may break after a commit and before its confirmation.
    Waits double from 0.1 to 2 seconds, with jitter. Raises the last error after RLM_DATABASE_PATIENCE seconds.
    """
    began = time.monotonic()
    wait = _FIRST_WAIT
    while True:
        try:
            return action()
        except AWAY as error:
            if connection.in_atomic_block or time.monotonic() - began > settings.RLM_DATABASE_PATIENCE:
                raise
            logger.warning("the database is away, trying again: %s", error)
        finally:
            if not connection.in_atomic_block:
                connection.close()  # returns it to the pool, which replaces broken connections
        time.sleep(random.uniform(wait / 2, wait))
        wait = min(wait * 2, _LONGEST_WAIT)
