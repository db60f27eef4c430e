"""The shared state of endpoints: what is left of their limits, and the share that each worker process holds."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class EndpointState(models.Model):
    """The pace of one limited thing: an endpoint, or a model of it (`endpoint/model`).

    Times are seconds of the database's clock since 1970. `tokens` holds recent grants, as [second, tokens] pairs.
    No call begins before `blocked_until`, which a server's Retry-After sets.
    """

    name = models.CharField(max_length=300, primary_key=True)
    next_request_at = models.FloatField(default=0, db_default=0)
    next_token_at = models.FloatField(default=0, db_default=0)
    tokens = models.JSONField(default=list)
    blocked_until = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.name


class EndpointLease(models.Model):
    """A worker process's share of an endpoint: `places` for calls in flight, and what it wants in addition.

    `wanted` counts places, `waiting` counts calls, and `waiting_tokens` is their estimated number of tokens. An
    expired row counts as deleted.
    """

    state = models.ForeignKey(EndpointState, on_delete=models.CASCADE, related_name="leases")
    process = models.CharField(max_length=200)
    places = models.PositiveIntegerField(default=0)
    wanted = models.PositiveIntegerField(default=0)
    waiting = models.PositiveIntegerField(default=0)
    waiting_tokens = models.PositiveBigIntegerField(default=0)
    expires_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["state", "process"], name="endpoint_lease_once"),
        ]

    def __str__(self) -> str:
        return f"{self.places} places of {self.state_id} for {self.process}"
