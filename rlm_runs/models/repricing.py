"""The history of costs that a newer price list changed."""

from __future__ import annotations

from django.db import models

from .traces import Turn


class Repricing(models.Model):
    """One run of `manage.py reprice`. `scope` is the requested experiment or filter."""

    at = models.DateTimeField(auto_now_add=True)
    by = models.CharField(max_length=200, blank=True)
    scope = models.CharField(max_length=400, blank=True)
    finished_at = models.DateTimeField(null=True, help_text="NULL while it runs, or if it was cut off.")

    def __str__(self) -> str:
        return f"repricing {self.pk}"


class RepricedTurn(models.Model):
    """The cost of a call before and after a repricing. A NULL cost is unknown."""

    repricing = models.ForeignKey(Repricing, on_delete=models.CASCADE, related_name="turns")
    turn = models.ForeignKey(Turn, on_delete=models.CASCADE, related_name="repricings")
    old_cost = models.DecimalField(max_digits=18, decimal_places=10, null=True)
    old_version = models.CharField(max_length=40, blank=True)
    new_cost = models.DecimalField(max_digits=18, decimal_places=10, null=True)
    new_version = models.CharField(max_length=40, blank=True)

    def __str__(self) -> str:
        return f"{self.old_cost} → {self.new_cost}"
