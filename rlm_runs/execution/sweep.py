"""The sweep: periodic work that any worker does for all of them, one at a time under an advisory lock."""

from __future__ import annotations

import logging
import time

from django.conf import settings
from django.db import connection, transaction

from . import call_counts, early_stopping, lost_workers, rescoring, spend_counts
from .spending import budget_control

logger = logging.getLogger(__name__)

_LOCK = 0x524C4D02
"""Number of the advisory lock, unique in this database."""
_FOLD_SECONDS = 300.0
"""Seconds between two foldings of the counts of calls."""


class Sweeper:
    """The sweeper of one process.

    After the database was down for longer than a lease, every lease has expired although the workers are alive.
    The first sweep after such a gap therefore reaps nothing, which gives workers time to renew.
    """

    def __init__(self) -> None:
        self._last = time.monotonic()
        self._folded = 0.0

    def sweep(self) -> int:
        """Gives back the rollouts of dead workers. Returns how many, 0 if another worker is sweeping."""
        gap, self._last = time.monotonic() - self._last, time.monotonic()
        if gap > max(settings.RLM_LEASE_SECONDS / 2, 2 * settings.RLM_SWEEP_SECONDS):
            return 0
        with transaction.atomic():
            if not _lock():
                return 0
            budget_control.look_at_time(gap=5 * settings.RLM_SWEEP_SECONDS + 10)
            reaped = lost_workers.reap() + rescoring.reap()
        with transaction.atomic():
            if _lock():
                early_stopping.look_at_all()
        if time.monotonic() - self._folded > _FOLD_SECONDS:
            self._folded = time.monotonic()
            with transaction.atomic():
                if _lock():
                    call_counts.fold()
                    spend_counts.fold()
        if reaped:
            logger.info("%s rollouts of dead workers are queued again", reaped)
        return reaped


def _lock() -> bool:
    """Takes the lock until the transaction ends. Returns False if another process has it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
        return bool(cursor.fetchone()[0])
