"""Leases of the rollouts that this process runs. One thread renews them all in one statement.

The same thread notices rollouts that this process must stop: those of cancelled experiments, and those that
another worker took over.
"""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from django.conf import settings
from django.db import Error, connection
from django.db.models import Model

from ..engine.cancellation import CancellationToken
from ..models import Experiment, Rollout

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.5
"""Seconds between two checks for cancelled experiments."""

# Rows are locked in the order of their ids, like in the group commit, so that the two never deadlock. The weaker
# lock leaves room for the foreign keys of new trajectories.
_RENEW = """
WITH held AS (
  SELECT r.id
    FROM rlm_runs_rollout r
    JOIN unnest(%s::bigint[], %s::int[]) AS held(id, claims) ON r.id = held.id AND r.claims = held.claims
   WHERE r.status = 'running'
   ORDER BY r.id
     FOR NO KEY UPDATE OF r
)
UPDATE rlm_runs_rollout r SET lease_expires_at = now() + make_interval(secs => %s)
  FROM held WHERE r.id = held.id
RETURNING r.id
"""


def stop_all(tokens: Iterable[CancellationToken], reason: str) -> None:
    """Stops many tokens at once, each in a thread, because closing a container takes time and leases must be
    renewed.
    """
    for token in tokens:
        if not token.reason:
            threading.Thread(target=token.stop, args=[reason], name="stop", daemon=True).start()


class Lease:
    """This process's view of a lease. A machine that was frozen learns late that others have its rollouts."""

    def __init__(self) -> None:
        self._until = lease_clock() + settings.RLM_LEASE_SECONDS
        self.token = CancellationToken(is_in_doubt=self.may_be_over)

    def may_be_over(self) -> bool:
        """Returns whether the lease was not renewed in time, so that another worker may have taken the rollout
        over.
        """
        return lease_clock() > self._until

    def renewed(self, at: float) -> None:
        """Notes a renewal that was requested at time `at`."""
        self._until = at + settings.RLM_LEASE_SECONDS


def lease_clock() -> float:
    """Returns the seconds of a clock that continues while the machine sleeps, where the system has one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


RowT = TypeVar("RowT", bound=Model)


class Leases(ABC, Generic[RowT]):
    """The leases of one kind of row that this process holds. Thread-safe.

    with leases.held(row) as control: …

    `control` is stopped with the reason `interrupted` when the process shuts down, and with `lost_reason` when the
    process no longer holds the lease.
    """

    lost_reason = "interrupted"

    def __init__(self) -> None:
        self._held: dict[int, tuple[RowT, Lease]] = {}
        self._lock = threading.Lock()
        self._interrupted = False

    @abstractmethod
    def extend(self, rows: Collection[RowT]) -> set[int]:
        """Extends the leases of these rows in one statement. Returns the ids of those that are still held."""

    @contextmanager
    def held(self, row: RowT) -> Iterator[CancellationToken]:
        """Keeps the lease of a claimed row for the duration of the block."""
        lease = Lease()
        with self._lock:
            self._held[row.pk] = row, lease
            interrupted = self._interrupted
        if interrupted:
            lease.token.stop("interrupted")
        try:
            yield lease.token
        finally:
            with self._lock:
                del self._held[row.pk]

    def __len__(self) -> int:
        return len(self._held)

    def interrupt_all(self) -> None:
        """Stops every row of this process, and every later one, because the worker shuts down."""
        with self._lock:
            self._interrupted = True
            tokens = [lease.token for _, lease in self._held.values()]
        stop_all(tokens, "interrupted")

    def renew(self) -> None:
        """Renews all leases, and stops rows that this process no longer holds."""
        held = self._snapshot()
        if not held:
            return
        asked_at = lease_clock()
        renewed = self.extend([row for row, _ in held.values()])
        for pk in renewed:
            held[pk][1].renewed(asked_at)
        # Stopping has no effect on a row that ended in the meantime.
        stop_all((held[pk][1].token for pk in held.keys() - renewed), self.lost_reason)

    def _snapshot(self) -> dict[int, tuple[RowT, Lease]]:
        with self._lock:
            return dict(self._held)


class LeaseKeeper(Leases[Rollout]):
    """The leases of rollouts. Stops those whose experiment is cancelled."""

    def extend(self, rows: Collection[Rollout]) -> set[int]:
        """Extends the leases of rollouts that this process claimed last."""
        with connection.cursor() as cursor:
            ids, claims = [row.pk for row in rows], [row.claims for row in rows]
            cursor.execute(_RENEW, [ids, claims, settings.RLM_LEASE_SECONDS])
            return {row[0] for row in cursor.fetchall()}

    def keep(self, done: threading.Event, *also: Callable[[], None]) -> None:
        """Renews leases until `done` is set. Calls `also` whenever it checks for cancelled experiments.

        While the database is down, rollouts wait for it and keep running.
        """
        renew_at = 0.0
        while not done.wait(TICK_SECONDS):
            try:
                for look in (self.stop_cancelled, *also):
                    look()
                if time.monotonic() >= renew_at:
                    self.renew()
                    renew_at = time.monotonic() + settings.RLM_LEASE_SECONDS / 3
            except Error as error:
                logger.warning("leases could not be renewed: %s", error)
                renew_at = 0.0
            finally:
                connection.close()

    def stop_cancelled(self) -> None:
        """Stops rollouts whose experiment was cancelled."""
        held = self._snapshot()
        experiments = {rollout.experiment_id for rollout, _ in held.values()}
        if not experiments:
            return
        cancelled = set(
            Experiment.everything.filter(pk__in=experiments, cancelled_at__isnull=False).values_list(
                "pk", flat=True
            )
        )
        stop_all(
            (lease.token for rollout, lease in held.values() if rollout.experiment_id in cancelled), "cancelled"
        )
