"""Tags of experiments, the same for all users."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from django.contrib.auth.models import User
from django.db import models

from .experiments import Experiment
from .review import Authored
from .texts import escape


class ExperimentTagQuerySet(models.QuerySet["ExperimentTag"]):
    """Tagging. Call `replace` in a transaction."""

    def replace(self, experiment: Experiment, names: Iterable[str], *, author: User | None, actor: str) -> None:
        """Replaces the tags of an experiment. Tags that it already has keep their author."""
        wanted = {escape(name) for name in names}
        tags = self.filter(experiment=experiment)
        tags.exclude(name__in=wanted).delete()
        rows = [
            ExperimentTag(experiment=experiment, name=name, author=author, author_name=actor[:150])
            for name in sorted(wanted)
        ]
        self.bulk_create(rows, ignore_conflicts=True)


class ExperimentTag(Authored):
    """A tag of an experiment."""

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="tags")
    name = models.CharField(max_length=60)

    objects = ExperimentTagQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["name"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["experiment", "name"], name="experiment_tag_once"),
        ]
        indexes: ClassVar = [models.Index(fields=["name", "experiment"], name="experiment_tag_name")]

    def __str__(self) -> str:
        return self.name
