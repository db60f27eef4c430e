"""The current state of running rollouts, for readers who watch them. It is no trace, and is lost in a crash.

A page that shows a running rollout calls `watch`, and its worker writes the state once a second while a page
watches. Rollouts without a viewer cost no write.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

from django.db import Error, connection, models, transaction
from django.db.models.functions import Now

from .experiments import Rollout

_WATCHED_SECONDS = 10
"""Time for which a rollout counts as watched after a page asked."""
_FRESH_SECONDS = 5
"""Age above which a state is not shown, because its worker may be gone."""

_WATCH = """
INSERT INTO rlm_runs_liveview AS live (rollout_id, attempt, watched_until, state)
VALUES (%(rollout)s, 0, now() + make_interval(secs => %(seconds)s), '{}')
    ON CONFLICT (rollout_id) DO UPDATE SET watched_until = EXCLUDED.watched_until
 WHERE live.watched_until < now() + make_interval(secs => %(seconds)s / 2.0)
"""


class LiveViewQuerySet(models.QuerySet["LiveView"]):
    """Queries of the pages and of the workers."""

    def watch(self, rollout: Rollout) -> dict[str, Any]:
        """Records that a page watches a rollout. Returns its state: see `engine.live.LiveBoard.state`.

        Returns {} if no state is known. Strings are escaped like texts.
        """
        if rollout.status != Rollout.Status.RUNNING:
            return {}
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(_WATCH, {"rollout": rollout.pk, "seconds": _WATCHED_SECONDS})
        except Error:  # the database is a replica that takes no writes
            return {}
        fresh = self.filter(
            rollout_id=rollout.pk,
            attempt=rollout.attempt,
            written_at__gt=Now() - timedelta(seconds=_FRESH_SECONDS),
        )
        return fresh.values_list("state", flat=True).first() or {}

    def watched(self) -> LiveViewQuerySet:
        """Returns the rollouts that a page watches."""
        return self.filter(watched_until__gt=Now())

    def forgotten(self) -> LiveViewQuerySet:
        """Returns the rollouts that no page has watched for a minute."""
        return self.filter(watched_until__lt=Now() - timedelta(minutes=1))


class LiveView(models.Model):
    """The state of one running rollout. The table is unlogged and has no foreign keys, so that nothing waits for
    it.
    """

    rollout_id = models.BigIntegerField(primary_key=True)
    attempt = models.PositiveIntegerField(help_text="The attempt whose state it is.")
    watched_until = models.DateTimeField(help_text="When it no longer counts as watched.")
    written_at = models.DateTimeField(null=True)
    state = models.JSONField(default=dict)

    objects: ClassVar = LiveViewQuerySet.as_manager()

    def __str__(self) -> str:
        return f"live view of rollout {self.rollout_id}"
