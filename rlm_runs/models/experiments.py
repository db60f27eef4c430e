"""Experiments with their arms and examples, and one rollout per arm, example and repetition."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Q
from django.urls import reverse

from ..engine.scaffolds import registry
from .rollout_sums import MAIN_TOKENS, NARROW, SUB_TOKENS, RolloutSums
from .texts import Sha256Field, Text


class ExperimentQuerySet(models.QuerySet["Experiment"]):
    """Queries of the lists of experiments."""

    def listed(self) -> ExperimentQuerySet:
        """Returns the experiments that are not archived."""
        return self.filter(archived_at=None)


class _NotDeleted(models.Manager["Experiment"]):
    """A manager that excludes experiments that are being deleted, and those that hold another experiment's
    forks.
    """

    def get_queryset(self) -> ExperimentQuerySet:
        return ExperimentQuerySet(self.model, using=self._db).filter(deleted_at=None, forks_of=None)

    def listed(self) -> ExperimentQuerySet:
        """Returns the experiments that are not archived."""
        return self.get_queryset().listed()


class Experiment(models.Model):
    """A set of arms on the same examples. `spec` is the validated spec, in a form that can be launched again.

    `sources` are the files of an import, as {"path", "format", "sha256", "rollouts"}; empty for a launch.
    `code_version` names the program that ran it. While `paused_at` is set, no worker takes its rollouts, and
    running ones finish. An archived experiment is hidden from lists. A deleted experiment is gone from all pages,
    and workers remove its rows in batches. An experiment with `forks_of` holds the forks of that experiment's
    rollouts and has no page: `objects` excludes it, so no list, sum or statistic contains its rollouts. `revision`
    counts changes to ended rollouts: retries, rescorings and repricings.
    """

    slug = models.SlugField(max_length=80, unique=True)
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    spec = models.JSONField()
    seed = models.BigIntegerField()
    sources = models.JSONField(default=list)
    code_version = models.CharField(max_length=80, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL)
    created_at = models.DateTimeField(auto_now_add=True)
    cancelled_at = models.DateTimeField(null=True)
    paused_at = models.DateTimeField(null=True)
    paused_by_budget = models.BooleanField(
        default=False, db_default=False, help_text="It was paused because it reached its budget."
    )
    budget_dollars = models.DecimalField(max_digits=18, decimal_places=10, null=True)
    budget_tokens = models.BigIntegerField(null=True)
    budget_hours = models.FloatField(null=True, help_text="Hours in which any of its rollouts runs.")
    archived_at = models.DateTimeField(null=True)
    deleted_at = models.DateTimeField(null=True)
    forks_of = models.OneToOneField(
        "self",
        null=True,
        on_delete=models.CASCADE,
        related_name="forks",
        help_text="Its rollouts fork that one's.",
    )
    revision = models.PositiveIntegerField(default=0, db_default=0)
    priority = models.SmallIntegerField(
        default=0, db_default=0, help_text="Workers take rollouts of the highest one first."
    )

    objects = _NotDeleted()
    everything = ExperimentQuerySet.as_manager()

    class Meta:
        indexes: ClassVar = [
            # The list of experiments, newest first.
            models.Index(fields=["-created_at", "-id"], name="experiment_newest"),
            # Those that lists exclude.
            models.Index(
                fields=["id"],
                condition=Q(archived_at__isnull=False) | Q(deleted_at__isnull=False) | Q(forks_of__isnull=False),
                name="experiment_hidden",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("experiment", args=[self.shown.slug])

    @property
    def shown(self) -> Experiment:
        """The experiment whose pages show this one: itself, or the one whose forks it holds."""
        return self.forks_of or self

    def rollouts(self) -> RolloutQuerySet:
        """Returns all rollouts of all its arms."""
        return Rollout.objects.filter(experiment=self)

    @property
    def simulated(self) -> bool:
        """Whether any of its models is the simulated model."""
        return any(arm.simulated for arm in self.arms.all())


class Arm(models.Model):
    """One environment with its settings × one scaffold with its settings × model, sub-model and sampling.

    `settings_hash` identifies all of these: the same arm has the same hash in every experiment.
    """

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="arms")
    position = models.PositiveIntegerField()
    environment = models.CharField(max_length=80)
    environment_settings = models.JSONField(default=dict)
    scaffold = models.CharField(max_length=40)
    scaffold_settings = models.JSONField(default=dict)
    model = models.CharField(max_length=200)
    sub_model = models.CharField(max_length=200)
    judge_model = models.CharField(max_length=200, blank=True)
    endpoint = models.CharField(max_length=80)
    simulated = models.BooleanField(default=False, help_text="The model is the demo model.")
    sampling = models.JSONField(default=dict)
    sandbox_image = models.CharField(max_length=200, blank=True, help_text="Empty where no code is run.")
    settings_hash = Sha256Field()

    class Meta:
        ordering: ClassVar = ["position"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["experiment", "settings_hash"], name="arm_once_per_experiment"),
            models.UniqueConstraint(fields=["experiment", "position"], name="arm_position"),
        ]

    def __str__(self) -> str:
        return f"{self.environment} × {self.scaffold_title} × {self.model}"

    @property
    def scaffold_title(self) -> str:
        """The title of the scaffold; its name if it comes from an import."""
        return registry.title(self.scaffold)

    @property
    def ended_early(self) -> str:
        """The reason why early stopping ended the arm; "" if it did not, or if the rest was run after all."""
        decision = getattr(self, "decision", None)
        return "" if decision is None or decision.reopened_at is not None else str(decision.reason)


class Example(models.Model):
    """One prompt with its gold answer, shared by all experiments. `content_hash` identifies it by its content."""

    environment = models.CharField(max_length=80)
    content_hash = Sha256Field(unique=True)
    prompt = models.ForeignKey(Text, on_delete=models.PROTECT, related_name="+")
    answer = models.ForeignKey(Text, on_delete=models.PROTECT, related_name="+")
    input_data = models.ForeignKey(Text, null=True, on_delete=models.PROTECT, related_name="+")
    metadata = models.JSONField(default=dict)

    def __str__(self) -> str:
        return f"{self.environment} {self.content_hash[:8]}"


class RolloutQuerySet(models.QuerySet["Rollout"]):
    """Queries of the pages that list and count rollouts. None of them reads a text."""

    def bulk_create(self, objs: Iterable[Rollout], *args: Any, **kwargs: Any) -> list[Rollout]:
        """Sets `experiment` from the arm before saving."""
        rows = list(objs)
        for row in rows:
            row.experiment_id = row.arm.experiment_id
        return super().bulk_create(rows, *args, **kwargs)

    def for_list(self) -> RolloutQuerySet:
        """Selects everything that a row of a list shows."""
        return self.select_related("arm", "experiment", "example").defer(
            "experiment__spec", "experiment__sources", "example__metadata", "metrics"
        )

    def listed(self) -> RolloutQuerySet:
        """Excludes rollouts of archived and deleted experiments, and forks."""
        is_hidden = Q(archived_at__isnull=False) | Q(deleted_at__isnull=False) | Q(forks_of__isnull=False)
        hidden = list(Experiment.everything.filter(is_hidden).values_list("pk", flat=True))
        return self.exclude(experiment__in=hidden) if hidden else self.all()

    def unfinished(self) -> RolloutQuerySet:
        """Returns the rollouts that have not ended."""
        return self.filter(status__in=[Rollout.Status.QUEUED, Rollout.Status.RUNNING])


class Rollout(RolloutSums):
    """One arm on one example, one repetition: its state, its outcome and its roll-ups.

    A NULL reward was not given (failed, too long, still running) and is never a zero. `experiment` repeats the
    arm's, so that an index can sort lists.
    """

    class Status(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        COMPLETED = "completed"
        FAILED = "failed"
        CANCELLED = "cancelled"

    FINISHED = (Status.COMPLETED, Status.FAILED, Status.CANCELLED)

    experiment = models.ForeignKey(
        Experiment, on_delete=models.CASCADE, related_name="+", db_index=False, help_text="That of the arm."
    )
    arm = models.ForeignKey(Arm, on_delete=models.CASCADE, related_name="rollouts", db_index=False)
    example = models.ForeignKey(Example, on_delete=models.PROTECT, related_name="rollouts", db_index=False)
    example_position = models.PositiveIntegerField(help_text="Of the example in its experiment, from 0.")
    repetition = models.PositiveIntegerField(default=0)

    status = models.CharField(max_length=10, choices=Status.choices, default=Status.QUEUED)
    stop_reason = models.CharField(max_length=40, blank=True)
    reward = models.FloatField(null=True)
    metrics = models.JSONField(default=dict)
    answer = models.ForeignKey(Text, null=True, on_delete=models.PROTECT, related_name="+")
    error = models.TextField(blank=True, help_text="Escaped as texts are.")
    error_boundary = models.CharField(max_length=20, blank=True)
    sandbox_backend = models.CharField(max_length=10, blank=True)

    attempt = models.PositiveIntegerField(default=0, help_text="Attempts begun so far.")
    cut_off = models.BooleanField(
        default=False, db_default=False, help_text="The attempt was cut off after a turn; the next worker goes on."
    )
    claims = models.PositiveIntegerField(default=0, db_default=0, help_text="Times that a worker has taken it.")
    given_back = models.PositiveIntegerField(
        default=0, db_default=0, help_text="Attempts that ended for no reason of the rollout's own."
    )
    worker = models.CharField(max_length=200, blank=True)
    lease_expires_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    seconds = models.FloatField(null=True, help_text="From the attempt's start to its end, without scoring.")

    objects = RolloutQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["arm", "example", "repetition"], name="rollout_once"),
            models.CheckConstraint(
                condition=~Q(status="completed") | Q(stop_reason__gt=""), name="completed_has_stop_reason"
            ),
        ]
        indexes: ClassVar = [
            # The arms table and the figures of an experiment: sums over one arm's rollouts by status.
            models.Index(fields=["arm", "status"], name="rollout_arm_status"),
            # Whether anything changed: counts by status and the last end, from the index alone.
            models.Index(fields=["experiment", "status", "finished_at"], name="rollout_experiment_state"),
            # Lists that are sorted or filtered by a column without an index of its own, and sums over an
            # experiment: a narrow copy of the table, read without the rows. Thirty-two columns are the most.
            models.Index(fields=["experiment", "id"], include=NARROW, name="rollout_narrow"),
            # Lists of one experiment, in the order in which it runs.
            models.Index(fields=["experiment", "example_position", "id"], name="rollout_experiment_order"),
            # Lists of one experiment and of all, by the columns that readers sort by most.
            models.Index(fields=["experiment", "reward", "id"], name="rollout_experiment_reward"),
            models.Index(fields=["experiment", "cost", "id"], name="rollout_experiment_cost"),
            models.Index(fields=["experiment", "seconds", "id"], name="rollout_experiment_seconds"),
            models.Index(fields=["reward", "id"], name="rollout_reward"),
            models.Index(fields=["cost", "id"], name="rollout_cost"),
            models.Index(fields=["seconds", "id"], name="rollout_seconds"),
            # Lists of all experiments, by the other columns shown and by time.
            models.Index(fields=["status", "id"], name="rollout_status"),
            models.Index(fields=["stop_reason", "id"], name="rollout_stop_reason"),
            models.Index(fields=["example_position", "id"], name="rollout_example_position"),
            models.Index(fields=["turns", "id"], name="rollout_turns"),
            models.Index(fields=["cells", "id"], name="rollout_cells"),
            models.Index(fields=["sub_calls", "id"], name="rollout_sub_calls"),
            models.Index(MAIN_TOKENS, "id", name="rollout_main_tokens"),
            models.Index(SUB_TOKENS, "id", name="rollout_sub_tokens"),
            models.Index(MAIN_TOKENS + SUB_TOKENS, "id", name="rollout_tokens"),
            models.Index(fields=["started_at", "id"], name="rollout_started_at"),
            models.Index(fields=["finished_at", "id"], name="rollout_finished_at"),
            # Sums over an experiment of the costs that providers report.
            models.Index(
                fields=["experiment"],
                include=["cost", "provider_cost"],
                condition=Q(provider_cost__isnull=False),
                name="rollout_provider_cost",
            ),
            # The filter by failure mode.
            GinIndex(fields=["failure_modes"], name="rollout_failure_modes"),
            # The sweep: running rollouts with an expired lease. The lease itself is in no index, so that renewals
            # change none.
            models.Index(fields=["id"], condition=Q(status="running"), name="rollout_running"),
            # The queue: the next rollout of an experiment, in the order that lets its arms progress evenly.
            models.Index(
                fields=["experiment", "repetition", "example_position", "id"],
                condition=Q(status="queued"),
                name="rollout_queue",
            ),
            # The few rollouts with repaired cells.
            models.Index(fields=["experiment", "id"], condition=Q(cells_repaired__gt=0), name="rollout_repaired"),
            # The few with truncated prompts, and those with estimated tokens.
            models.Index(
                fields=["experiment", "id"], condition=Q(truncated_prompts__gt=0), name="rollout_truncated"
            ),
            models.Index(
                fields=["experiment", "id"], condition=Q(estimated_calls__gt=0), name="rollout_estimated"
            ),
            # The same example in other arms, for pairing.
            models.Index(fields=["example", "arm"], name="rollout_example_arm"),
        ]

    def __str__(self) -> str:
        return f"rollout {self.pk}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Sets `experiment` from the arm before saving."""
        self.experiment_id = self.arm.experiment_id
        super().save(*args, **kwargs)

    def get_absolute_url(self) -> str:
        return reverse("rollout", args=[self.pk])

    def attempt_trajectories(self) -> models.QuerySet[Any]:
        """Returns the trajectories of the last attempt."""
        return self.trajectories.filter(attempt=self.attempt)

    @property
    def too_long(self) -> bool:
        """Whether the API refused the prompt because it exceeds the model's window."""
        return self.stop_reason == "prompt_too_long"
