"""Drafts of experiments: unfinished launch forms of users."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models

from .texts import escape


class LaunchDraftQuerySet(models.QuerySet["LaunchDraft"]):
    """Drafts of a user."""

    def keep(self, *, user_id: int, draft_id: int | None, name: str, form: str) -> LaunchDraft:
        """Stores a form in the user's draft of that number, or in a new one if there is none."""
        found = None if draft_id is None else self.filter(user=user_id, pk=draft_id).first()
        draft = found or self.model(user_id=user_id)
        draft.name, draft.form = escape(name), form
        draft.save()
        return draft


class LaunchDraft(models.Model):
    """A launch form that was not launched yet. `form` is its data as a query string; launching checks it."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="launch_drafts")
    name = models.TextField(blank=True, help_text="Escaped as texts are.")
    form = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = LaunchDraftQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-updated_at", "-pk"]

    def __str__(self) -> str:
        return self.name or "Untitled"
