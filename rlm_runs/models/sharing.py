"""Saved views of tables, and shared links: pages for readers without an account."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User
from django.contrib.postgres.fields import ArrayField
from django.core.signing import BadSignature, Signer
from django.db import models
from django.utils import timezone

from .experiments import Experiment, Rollout


class SavedView(models.Model):
    """A table with its filters, order and columns, stored as its query string."""

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


def _signer() -> Signer:
    """Returns the signer of tokens. Its salt keeps other signatures of this server from opening a link."""
    return Signer(salt="rlm_runs.SharedLink", sep=".")


class SharedLinkQuerySet(models.QuerySet["SharedLink"]):
    """Shared links by state and by user."""

    def alive(self) -> SharedLinkQuerySet:
        """Returns the links that are not revoked."""
        return self.filter(revoked_at=None)

    def opened_by(self, token: str) -> SharedLink | None:
        """Returns the link of a token; None if it does not exist, is revoked, or has a wrong signature."""
        try:
            identity = uuid.UUID(_signer().unsign(token))
        except (BadSignature, ValueError):
            return None
        return self.alive().select_related("experiment").filter(identity=identity).first()

    def manageable_by(self, user: AbstractBaseUser | AnonymousUser) -> SharedLinkQuerySet:
        """Returns the links that a user may revoke: their own, or all for staff."""
        if not isinstance(user, User):
            return self.none()
        return self.all() if user.is_staff else self.filter(created_by=user)


class SharedLink(models.Model):
    """A read-only link to one page for anyone who has the link.

    The address holds `identity` and a signature that only this server can make, so a reader of the database cannot
    open the link. `path` and `query` are the shared page; `experiment`, `rollout` and `arms` limit what it shows.
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

    objects = SharedLinkQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.kind} {self.identity}"

    @property
    def token(self) -> str:
        """The token in the address: the identity and its signature."""
        return _signer().sign(self.identity.hex)

    def revoke(self) -> None:
        """Revokes the link permanently."""
        SharedLink.objects.alive().filter(pk=self.pk).update(revoked_at=timezone.now())
