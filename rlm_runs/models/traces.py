"""The trace of a rollout, a tree of any depth.

    rollout → trajectory → turn → execution → (batch of) trajectories → turns → …

No prompt is stored twice. A turn's prompt is its trajectory's opening messages, then each earlier turn's
completion with the output of its executions (see `transcripts.prompt_of`).
"""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q

from .experiments import Rollout
from .history import Rescoring
from .texts import Text


class Trajectory(models.Model):
    """One model conversation: the root's, a sub-LLM's or a judge's.

    `opening` is a list of {"role", "text": digest of the content}; `tools` are the schemas sent to the model. For
    a sub-LLM, `parent` is the cell that called it, `batch` is the number of the `llm_batch` call in that cell, and
    `position` is the number of the prompt in the batch, both from 0. `summary` is all that an imported file has of
    a call without texts: {"tokens", "tool_calls", "seconds"}.
    """

    class Kind(models.TextChoices):
        ROOT = "root"
        SUB = "sub"
        JUDGE = "judge"

    rollout = models.ForeignKey(Rollout, on_delete=models.CASCADE, related_name="trajectories")
    attempt = models.PositiveIntegerField()
    kind = models.CharField(max_length=10, choices=Kind.choices)
    parent = models.ForeignKey("Execution", null=True, on_delete=models.CASCADE, related_name="children")
    batch = models.PositiveIntegerField(null=True)
    position = models.PositiveIntegerField(null=True)
    depth = models.PositiveIntegerField(default=0)
    model = models.CharField(max_length=200)
    opening = models.JSONField(default=list)
    tools = models.JSONField(default=list)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    stop_reason = models.CharField(max_length=40, blank=True, help_text="Empty while it runs, or was cut off.")
    answer = models.ForeignKey(Text, null=True, on_delete=models.PROTECT, related_name="+")
    error = models.TextField(blank=True, help_text="Escaped as texts are.")
    summary = models.JSONField(null=True)
    rescoring = models.ForeignKey(
        Rescoring,
        null=True,
        on_delete=models.CASCADE,
        related_name="judges",
        db_index=False,
        help_text="For which a judge was asked; NULL for the scoring of the attempt itself.",
    )

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["rollout", "attempt"], condition=Q(kind="root"), name="one_root_per_attempt"
            ),
            models.UniqueConstraint(fields=["parent", "batch", "position"], name="sub_call_once"),
        ]
        indexes: ClassVar = [
            # The replay: the whole tree of a rollout's attempt.
            models.Index(fields=["rollout", "attempt", "id"], name="trajectory_of_attempt"),
            models.Index(
                fields=["rescoring"], condition=Q(rescoring__isnull=False), name="trajectory_of_rescoring"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} trajectory {self.pk}"


class Turn(models.Model):
    """One model call. Token counts are NULL if the API reported none, cost is NULL if no price is known."""

    trajectory = models.ForeignKey(Trajectory, on_delete=models.CASCADE, related_name="turns")
    index = models.PositiveIntegerField(help_text="In its trajectory, from 0.")
    content = models.ForeignKey(Text, on_delete=models.PROTECT, related_name="+")
    reasoning = models.ForeignKey(Text, null=True, on_delete=models.PROTECT, related_name="+")
    reply = models.ForeignKey(
        Text, null=True, on_delete=models.PROTECT, related_name="+", help_text="What the host said after it."
    )
    tool_calls = models.JSONField(
        null=True, help_text='The calls that the model made, as {"id", "name", "arguments": digest}.'
    )
    finish_reason = models.CharField(max_length=40, blank=True)
    prompt_tokens = models.PositiveIntegerField(null=True)
    cached_tokens = models.PositiveIntegerField(null=True, help_text="Part of the prompt tokens.")
    cache_write_tokens = models.PositiveIntegerField(null=True, help_text="Part of the prompt tokens.")
    completion_tokens = models.PositiveIntegerField(null=True)
    reasoning_tokens = models.PositiveIntegerField(null=True, help_text="Part of the completion tokens.")
    tokens_estimated = models.BooleanField(
        default=False, db_default=False, help_text="Tokens that the API did not report are our own count."
    )
    sent_tokens = models.PositiveIntegerField(
        null=True, help_text="Our own count of a prompt of which the API read a part only; NULL where it read all."
    )
    usage = models.JSONField(default=dict, help_text="As the API sent it.")
    cost = models.DecimalField(max_digits=18, decimal_places=10, null=True, help_text="Dollars.")
    price_version = models.CharField(max_length=40, blank=True)
    provider_cost = models.DecimalField(
        max_digits=18, decimal_places=10, null=True, help_text="Dollars, as the provider reports them."
    )
    ended_at = models.DateTimeField()
    seconds = models.FloatField()
    retries = models.PositiveIntegerField(default=0)
    retry_seconds = models.FloatField(default=0)
    failed_tries = models.JSONField(
        default=list,
        db_default=[],
        help_text="Tries that failed, as {at, seconds, waited, status, message}, escaped as texts are.",
    )
    first_token_seconds = models.FloatField(
        null=True, help_text="From the request to the first piece of a streamed answer."
    )
    tokens_per_second = models.FloatField(
        null=True, help_text="Tokens behind the first of a streamed answer, over their time."
    )
    error = models.TextField(blank=True, help_text="Escaped as texts are.")

    class Meta:
        ordering: ClassVar = ["index"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["trajectory", "index"], name="turn_once"),
        ]

    def __str__(self) -> str:
        return f"turn {self.index}"


class Execution(models.Model):
    """An execution of a turn, a REPL cell or a tool call, in the order of `position`.

    `arguments` is the model's JSON text, which may be malformed; a cell's source is its `code`. `output` is the
    execution's output, `shown` is the part that the model was sent. `finished` is false while it runs, and stays
    false if its worker died.
    """

    class Kind(models.TextChoices):
        CELL = "cell"
        TOOL = "tool"

    turn = models.ForeignKey(Turn, on_delete=models.CASCADE, related_name="executions")
    position = models.PositiveIntegerField()
    kind = models.CharField(max_length=10, choices=Kind.choices)
    name = models.CharField(max_length=100)
    call_id = models.CharField(max_length=200, blank=True)
    arguments = models.ForeignKey(Text, on_delete=models.PROTECT, related_name="+")
    output = models.ForeignKey(Text, null=True, on_delete=models.PROTECT, related_name="+")
    shown = models.ForeignKey(Text, null=True, on_delete=models.PROTECT, related_name="+")
    out = models.ForeignKey(Text, null=True, on_delete=models.PROTECT, related_name="+")
    output_chars = models.PositiveBigIntegerField(default=0, help_text="All that was written, kept or not.")
    truncated = models.BooleanField(default=False, help_text="The model was shown a part only.")
    error_type = models.CharField(max_length=200, blank=True)
    error_message = models.TextField(blank=True, help_text="Escaped as texts are.")
    timed_out = models.BooleanField(default=False)
    state_lost = models.BooleanField(default=False)
    finished = models.BooleanField(default=False)
    started_at = models.DateTimeField()
    seconds = models.FloatField(null=True)
    cpu_seconds = models.FloatField(null=True)
    peak_memory_bytes = models.PositiveBigIntegerField(null=True)
    answer = models.ForeignKey(Text, null=True, on_delete=models.PROTECT, related_name="+")
    ready = models.BooleanField(null=True)
    repairs = models.CharField(
        max_length=100,
        blank=True,
        default="",
        db_default="",
        help_text="What was mended in a cell's source before it ran, separated by commas.",
    )
    variables = models.JSONField(default=list)

    class Meta:
        ordering: ClassVar = ["position"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["turn", "position"], name="execution_once"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.position}"


class RolloutNote(models.Model):
    """A line of a rollout's log: an interrupted attempt was resumed, or could not be.

    `turn` is the number of the root's completed turns, `seconds` is how long the attempt had run.
    """

    class Kind(models.TextChoices):
        RESUMED = "resumed", "resumed"
        RESTARTED = "restarted", "restarted"
        DIFFERS = "differs", "differs"

    EXCUSED = "given back for no reason of its own"
    """The reason of a resume whose attempt was given back through no fault of its own."""

    rollout = models.ForeignKey(Rollout, on_delete=models.CASCADE, related_name="notes")
    attempt = models.PositiveIntegerField()
    kind = models.CharField(max_length=10, choices=Kind.choices)
    at = models.DateTimeField()
    worker = models.CharField(max_length=200, blank=True)
    turn = models.PositiveIntegerField(null=True)
    seconds = models.FloatField(null=True)
    reason = models.TextField(blank=True, help_text="Escaped as texts are.")

    class Meta:
        ordering: ClassVar = ["pk"]

    def __str__(self) -> str:
        if self.kind == self.Kind.RESUMED:
            return f"resumed after turn {self.turn}"
        return f"{self.kind}: {self.reason}"

    @classmethod
    def excuse_last_resume(cls, rollout: Rollout) -> None:
        """Marks the last resume of the attempt, if there is one, so that it does not count as a resume without a
        turn.
        """
        last = rollout.notes.filter(kind=cls.Kind.RESUMED, attempt=rollout.attempt).order_by("-pk")[:1]
        cls.objects.filter(pk__in=last.values("pk")).update(reason=cls.EXCUSED)
