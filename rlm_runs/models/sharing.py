"""What people keep and pass on: views of tables, and links to pages for readers without an account."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models

from .experiments import Experiment, Rollout


class SavedView(models.Model):
    """A table as somebody left it: its filters, order and columns, as the query string that shows it again."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="saved_views")
    table = models.CharField(max_length=40)
    name = models.CharField(max_length=80)
    query = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["name"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "table", "name"], name="saved_view_once"),
        ]

    def __str__(self) -> str:
        return self.name


class SharedLink(models.Model):
    """A read-only link to one thing and nothing around it, for whoever has the link.

    `identity` is in the address beside a signature that only this server can make, so that who reads the database
    cannot open a link. `path` and `query` are the page that was shared; `experiment`, `rollout` and `arms` say
    what of the store it may show.
    """

    class Kind(models.TextChoices):
        EXPERIMENT = "experiment"
        COMPARISON = "comparison"
        FIGURE = "figure"
        ROLLOUT = "rollout"

    identity = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    kind = models.CharField(max_length=12, choices=Kind.choices)
    path = models.CharField(max_length=400)
    query = models.TextField(blank=True)
    experiment = models.ForeignKey(Experiment, null=True, on_delete=models.CASCADE, related_name="shared_links")
    rollout = models.ForeignKey(Rollout, null=True, on_delete=models.CASCADE, related_name="shared_links")
    arms = ArrayField(models.BigIntegerField(), default=list, help_text="Of a comparison.")
    note = models.CharField(max_length=200, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL)
    created_at = models.DateTimeField(auto_now_add=True)
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.kind} {self.identity}"
