"""Leases of the rollouts that this process runs: one thread renews them all, in one statement.

The same thread notices rollouts that this process must stop: those of cancelled experiments, and those that
another worker took over.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import Error, connection

from ..engine.cancellation import CancellationToken
from ..models import Experiment, Rollout

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.5
"""Time between two looks at cancelled experiments."""

# Rows are locked in the order of their ids, as by the group commit, so that the two never wait for each other. The
# weaker lock leaves room for the foreign keys of new trajectories.
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


def stop_all(controls: Iterable[CancellationToken], reason: str) -> None:
    """Stops many at once, each in a thread: closing a container takes time, and leases must be renewed."""
    for control in controls:
        if not control.reason:
            threading.Thread(target=control.stop, args=[reason], name="stop", daemon=True).start()


class LeaseKeeper:
    """Holds the leases of this process.

    with keeper.held(rollout) as control: …

    `control` is stopped with the reason `cancelled` when the experiment is cancelled, and `interrupted` when the
    rollout was taken over or the process shuts down.
    """

    def __init__(self) -> None:
        self._held: dict[int, tuple[Rollout, CancellationToken]] = {}
        self._lock = threading.Lock()
        self._interrupted = False

    @contextmanager
    def held(self, rollout: Rollout) -> Iterator[CancellationToken]:
        """Keeps the lease of a claimed rollout for the block."""
        control = CancellationToken()
        with self._lock:
            self._held[rollout.pk] = rollout, control
            interrupted = self._interrupted
        if interrupted:
            control.stop("interrupted")
        try:
            yield control
        finally:
            with self._lock:
                del self._held[rollout.pk]

    def __len__(self) -> int:
        return len(self._held)

    def interrupt_all(self) -> None:
        """Stops every rollout of this process, and every later one: the worker shuts down."""
        with self._lock:
            self._interrupted = True
            controls = [control for _, control in self._held.values()]
        stop_all(controls, "interrupted")

    def keep(self, done: threading.Event, *also: Callable[[], None]) -> None:
        """Renews leases until `done` is set, and calls `also` as often as it looks for cancelled experiments.

        While the database is away, rollouts wait for it and keep running.
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

    def renew(self) -> None:
        """Renews all leases; stops rollouts that this process no longer holds."""
        held = self._snapshot()
        if not held:
            return
        with connection.cursor() as cursor:
            claims = [rollout.claims for rollout, _ in held.values()]
            cursor.execute(_RENEW, [list(held), claims, settings.RLM_LEASE_SECONDS])
            renewed = {row[0] for row in cursor.fetchall()}
        # A rollout that ended meanwhile is stopped without effect.
        stop_all((held[pk][1] for pk in held.keys() - renewed), "interrupted")

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
            (control for rollout, control in held.values() if rollout.experiment_id in cancelled), "cancelled"
        )

    def _snapshot(self) -> dict[int, tuple[Rollout, CancellationToken]]:
        with self._lock:
            return dict(self._held)
