"""Circuits: models that fail all calls, whose arms wait."""

from __future__ import annotations

from django.db import models


class Circuit(models.Model):
    """The health of a model, shared by all workers. While `opened_at` is set, the circuit is open and no call
    begins.

    `outcomes` counts recent calls, as [second, good, bad]. At `probe_at` one call may probe the model;
    `probing_until` is set while it does. `claimed_until` is set while a rollout is claimed for the probe.
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
