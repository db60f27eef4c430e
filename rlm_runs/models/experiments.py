"""What was asked for: experiments, their arms and examples, and one rollout per arm, example and repetition."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q, QuerySet
from django.urls import reverse

from .texts import Sha256Field, Text

if TYPE_CHECKING:
    from .traces import Trajectory


class Scaffold(models.TextChoices):
    """How a model is driven."""

    LLM = "llm", "LLM"
    RLM = "rlm", "RLM"
    RLM_TIPS = "rlm_tips", "RLM+tips"


class Experiment(models.Model):
    """A set of arms on the same examples. `spec` is what was launched, whole, as it was validated."""

    slug = models.SlugField(max_length=80, unique=True)
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    spec = models.JSONField()
    seed = models.BigIntegerField()
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL)
    created_at = models.DateTimeField(auto_now_add=True)
    cancelled_at = models.DateTimeField(null=True)

    class Meta:
        indexes: ClassVar = [
            # The list of experiments, newest first.
            models.Index(fields=["-created_at", "-id"], name="experiment_newest"),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("experiment", args=[self.slug])

    def rollouts(self) -> RolloutQuerySet:
        """All rollouts of all its arms."""
        return Rollout.objects.filter(arm__experiment=self)

    @property
    def simulated(self) -> bool:
        """Whether any of its models is the demo model."""
        return any(arm.simulated for arm in self.arms.all())


class Arm(models.Model):
    """One environment with its settings × one scaffold with its settings × model, sub-model and sampling.

    `settings_hash` names all of these: the same arm has the same hash in every experiment.
    """

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="arms")
    position = models.PositiveIntegerField()
    environment = models.CharField(max_length=80)
    environment_settings = models.JSONField(default=dict)
    scaffold = models.CharField(max_length=20, choices=Scaffold.choices)
    scaffold_settings = models.JSONField(default=dict)
    model = models.CharField(max_length=200)
    sub_model = models.CharField(max_length=200)
    judge_model = models.CharField(max_length=200, blank=True)
    endpoint = models.CharField(max_length=80)
    simulated = models.BooleanField(default=False, help_text="The model is the demo model.")
    sampling = models.JSONField(default=dict)
    settings_hash = Sha256Field()

    class Meta:
        ordering: ClassVar = ["position"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["experiment", "settings_hash"], name="arm_once_per_experiment"),
            models.UniqueConstraint(fields=["experiment", "position"], name="arm_position"),
        ]

    def __str__(self) -> str:
        return f"{self.environment} × {self.get_scaffold_display()} × {self.model}"


class Example(models.Model):
    """One prompt with its gold answer, shared by all experiments: `content_hash` names it by its content."""

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

    def for_list(self) -> RolloutQuerySet:
        """With what a row of the list shows."""
        return self.select_related("arm", "arm__experiment", "example").defer(
            "arm__experiment__spec", "example__metadata", "metrics"
        )

    def unfinished(self) -> RolloutQuerySet:
        """Those that a worker still has to end."""
        return self.filter(status__in=[Rollout.Status.QUEUED, Rollout.Status.RUNNING])


class Rollout(models.Model):
    """One arm on one example, one repetition: its state, its outcome, and the sums over its trace.

    The sums cover the last attempt. What earlier attempts, cut off by a worker's death, had spent stands in
    `earlier_cost`. A reward of NULL is one that was not given (failed, too long, still running), never a zero.
    """

    class Status(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        COMPLETED = "completed"
        FAILED = "failed"
        CANCELLED = "cancelled"

    FINISHED = (Status.COMPLETED, Status.FAILED, Status.CANCELLED)

    arm = models.ForeignKey(Arm, on_delete=models.CASCADE, related_name="rollouts")
    example = models.ForeignKey(Example, on_delete=models.PROTECT, related_name="rollouts")
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
    worker = models.CharField(max_length=200, blank=True)
    lease_expires_at = models.DateTimeField(null=True)
    requeue_at = models.DateTimeField(null=True, help_text="When a message not yet taken counts as lost.")
    enqueued = models.PositiveIntegerField(default=0, help_text="Messages sent for the present attempt.")
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    seconds = models.FloatField(null=True, help_text="From the attempt's start to its end, without scoring.")

    turns = models.PositiveIntegerField(default=0, help_text="Of the root.")
    cells = models.PositiveIntegerField(default=0)
    tool_calls = models.PositiveIntegerField(default=0, help_text="Of the root and of sub-LLMs; cells apart.")
    batches = models.PositiveIntegerField(default=0)
    sub_calls = models.PositiveIntegerField(default=0, help_text="Sub-LLM trajectories, at every depth.")
    sub_turns = models.PositiveIntegerField(default=0)
    main_prompt_tokens = models.PositiveBigIntegerField(default=0)
    main_cached_tokens = models.PositiveBigIntegerField(default=0, help_text="Part of the prompt tokens.")
    main_completion_tokens = models.PositiveBigIntegerField(default=0)
    main_reasoning_tokens = models.PositiveBigIntegerField(default=0, help_text="Part of the completion tokens.")
    sub_prompt_tokens = models.PositiveBigIntegerField(default=0)
    sub_cached_tokens = models.PositiveBigIntegerField(default=0)
    sub_completion_tokens = models.PositiveBigIntegerField(default=0)
    sub_reasoning_tokens = models.PositiveBigIntegerField(default=0)
    cost = models.DecimalField(
        max_digits=18,
        decimal_places=10,
        null=True,
        help_text="Dollars; NULL where a call has no known price.",
    )
    earlier_cost = models.DecimalField(max_digits=18, decimal_places=10, null=True, default=0)
    judge_cost = models.DecimalField(
        max_digits=18,
        decimal_places=10,
        null=True,
        default=0,
        help_text="Dollars of scoring, apart from the cost.",
    )
    cell_seconds = models.FloatField(default=0)
    retries = models.PositiveIntegerField(default=0)

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
            # The sweep: running rollouts whose lease is over.
            models.Index(fields=["lease_expires_at"], condition=Q(status="running"), name="rollout_running_lease"),
            # The sweep: queued rollouts whose message seems lost.
            models.Index(fields=["requeue_at"], condition=Q(status="queued"), name="rollout_queued_requeue"),
            # The same example in other arms, for pairing.
            models.Index(fields=["example", "arm"], name="rollout_example_arm"),
        ]

    def __str__(self) -> str:
        return f"rollout {self.pk}"

    def get_absolute_url(self) -> str:
        return reverse("rollout", args=[self.pk])

    @property
    def too_long(self) -> bool:
        """Whether the API refused the prompt as longer than the model's window."""
        return self.stop_reason == "prompt_too_long"

    @property
    def main_tokens(self) -> int:
        """Prompt and completion tokens of the root model."""
        return self.main_prompt_tokens + self.main_completion_tokens

    @property
    def sub_tokens(self) -> int:
        """Prompt and completion tokens of all sub-LLMs."""
        return self.sub_prompt_tokens + self.sub_completion_tokens

    def attempt_trajectories(self) -> QuerySet[Trajectory]:
        """The trajectories of the last attempt."""
        return self.trajectories.filter(attempt=self.attempt)
