"""Circuits: models that fail all calls, so that their arms wait."""

from __future__ import annotations

from django.db import models


class Circuit(models.Model):
    """The health of a model as all workers see it. It is open, and no call begins, while `opened_at` is set.

    `outcomes` counts recent calls, as [second, good, bad]. At `probe_at` one call may try; `probing_until` is set
    while it does. `claimed_until` is set while a rollout was claimed for that.
    """

    model = models.CharField(max_length=300, primary_key=True)
    failures = models.PositiveIntegerField(default=0, help_text="Failures in a row.")
    failing_since = models.DateTimeField(null=True)
    last_good_at = models.DateTimeField(null=True)
    outcomes = models.JSONField(default=list)
    error = models.TextField(blank=True, help_text="Escaped as texts are.")
    opened_at = models.DateTimeField(null=True)
    probes = models.PositiveIntegerField(default=0, help_text="Failed tries since it opened.")
    probe_at = models.DateTimeField(null=True)
    probing_until = models.DateTimeField(null=True)
    claimed_until = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.model
