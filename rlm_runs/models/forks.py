"""Forks: rollouts that continue another one from a turn, and the edit of that turn."""

from __future__ import annotations

from django.db import models

from .experiments import Rollout


class Fork(models.Model):
    """The origin of a rollout that is a fork. The rollout belongs to the hidden experiment of its origin's forks.

    `edit` is the change of the forked turn, as {"message", "code", "answers"}; `changes` are the settings and
    models that differ from the origin's, by name. `hold` says when the fork waits for a reader between the rebuilt
    REPL and the first live call. `differences` are those of the last rebuild, NULL before one; texts are escaped.
    """

    class Hold(models.TextChoices):
        ALWAYS = "always", "always"
        DIFFERENT = "different", "if something differs"
        NEVER = "never", "never"

    rollout = models.OneToOneField(Rollout, on_delete=models.CASCADE, primary_key=True, related_name="fork")
    origin = models.ForeignKey(Rollout, on_delete=models.CASCADE, related_name="forks")
    origin_attempt = models.PositiveIntegerField()
    turn = models.PositiveIntegerField(help_text="Of the origin's root, from 1: the last recorded one.")
    edit = models.JSONField(default=dict)
    changes = models.JSONField(default=dict)
    hold = models.CharField(max_length=10, choices=Hold.choices, default=Hold.DIFFERENT)
    differences = models.JSONField(null=True)
    author = models.CharField(max_length=150, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    HELD = "held"
    """Stop reason of a rollout that waits for a reader."""

    def __str__(self) -> str:
        return f"fork of rollout {self.origin_id} after turn {self.turn}"

    @property
    def is_held(self) -> bool:
        """Whether the fork waits for a reader."""
        return self.rollout.status == Rollout.Status.CANCELLED and self.rollout.stop_reason == self.HELD

    @property
    def edited(self) -> list[str]:
        """The edited parts of the turn, as words."""
        names = {"message": "message", "code": "cell", "answers": "sub-call answers"}
        return [word for name, word in names.items() if self.edit.get(name) is not None]
