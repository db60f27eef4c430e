"""The roll-ups of a rollout: sums over its trace, kept in its row. Lists and figures read no other table."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F

MAIN_TOKENS = F("main_prompt_tokens") + F("main_completion_tokens")
SUB_TOKENS = F("sub_prompt_tokens") + F("sub_completion_tokens")
NARROW = (
    *("arm", "example_position", "repetition", "status", "stop_reason", "sandbox_backend", "started_at"),
    *("finished_at", "reward", "seconds", "cost", "earlier_cost", "judge_cost", "turns", "cells", "tool_calls"),
    *("batches", "sub_calls", "sub_turns", "main_prompt_tokens", "main_completion_tokens", "sub_prompt_tokens"),
    *("sub_completion_tokens", "cell_errors", "cells_cut", "cells_timed_out", "max_batch", "max_parallel"),
    *("first_answer_turn", "answer_edits"),
)
"""Columns that lists sort and filter by and that sums use, as many as one index can hold."""


class RolloutSums(models.Model):
    """The roll-ups of a rollout's last attempt.

    `earlier_cost` is the cost of the attempts before it, and `judge_cost` that of scoring in all of them. A NULL
    sum is unknown. `reported` says that the sums come from an imported file, so the turns need not add up to
    them.
    """

    reported = models.BooleanField(default=False, help_text="The sums are those of an imported file.")
    turns = models.PositiveIntegerField(null=True, default=0, help_text="Of the root.")
    cells = models.PositiveIntegerField(null=True, default=0)
    tool_calls = models.PositiveIntegerField(
        null=True, default=0, help_text="Of the root and of sub-LLMs; cells apart."
    )
    batches = models.PositiveIntegerField(null=True, default=0)
    sub_calls = models.PositiveIntegerField(
        null=True, default=0, help_text="Sub-LLM trajectories, at every depth."
    )
    sub_turns = models.PositiveIntegerField(null=True, default=0)
    main_prompt_tokens = models.PositiveBigIntegerField(null=True, default=0)
    main_cached_tokens = models.PositiveBigIntegerField(null=True, default=0, help_text="Part of the prompt.")
    main_completion_tokens = models.PositiveBigIntegerField(null=True, default=0)
    main_reasoning_tokens = models.PositiveBigIntegerField(
        null=True, default=0, help_text="Part of the completion."
    )
    sub_prompt_tokens = models.PositiveBigIntegerField(null=True, default=0)
    sub_cached_tokens = models.PositiveBigIntegerField(null=True, default=0)
    sub_completion_tokens = models.PositiveBigIntegerField(null=True, default=0)
    sub_reasoning_tokens = models.PositiveBigIntegerField(null=True, default=0)
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
    provider_cost = models.DecimalField(
        max_digits=18,
        decimal_places=10,
        null=True,
        help_text="Dollars, as the provider reports them; NULL where it does not for a call.",
    )
    retries = models.PositiveIntegerField(default=0)
    truncated_prompts = models.PositiveIntegerField(
        default=0, db_default=0, help_text="Calls of whose prompt the API read a part only."
    )
    estimated_calls = models.PositiveIntegerField(
        default=0, db_default=0, help_text="Calls whose tokens are our own count."
    )

    # Seconds by part. The rest of `seconds` is the start of the sandbox and our own work.
    model_seconds = models.FloatField(null=True, help_text="Calls of the root model, without retries.")
    retry_seconds = models.FloatField(null=True, help_text="Failed tries of the root's calls, and waiting.")
    cell_seconds = models.FloatField(null=True, default=0, help_text="Cells, with the sub-calls in them.")
    sub_seconds = models.FloatField(null=True, help_text="Of the cells' time, that in which sub-LLMs ran.")
    tool_seconds = models.FloatField(null=True, help_text="Tool calls of the root.")

    # The root's streamed answers; NULL without one.
    first_token_seconds = models.FloatField(null=True, help_text="From request to first piece, on average.")
    tokens_per_second = models.FloatField(null=True, help_text="Tokens behind the first, over their time.")

    # The root's use of its REPL; NULL without a transcript.
    cell_errors = models.PositiveIntegerField(null=True, help_text="Cells that ended in an error.")
    cells_cut = models.PositiveIntegerField(null=True, help_text="Cells of which the model saw a part only.")
    cells_timed_out = models.PositiveIntegerField(null=True)
    cells_repaired = models.PositiveIntegerField(
        default=0, db_default=0, help_text="Cells whose source was mended before it ran."
    )
    max_batch = models.PositiveIntegerField(null=True, help_text="Calls of the largest batch.")
    max_parallel = models.PositiveIntegerField(null=True, help_text="Most sub-calls under way at once.")
    first_answer_turn = models.PositiveIntegerField(
        null=True, help_text="Turn, from 1, that first wrote `answer`."
    )
    answer_edits = models.PositiveIntegerField(null=True, help_text="Times `answer` was changed after that.")
    failure_modes = ArrayField(
        models.CharField(max_length=30), default=list, help_text="How it went wrong; see failure_modes.py."
    )

    class Meta:
        abstract = True

    @property
    def main_tokens(self) -> int | None:
        """Prompt and completion tokens of the root model; None if unknown."""
        return _sum(self.main_prompt_tokens, self.main_completion_tokens)

    @property
    def sub_tokens(self) -> int | None:
        """Prompt and completion tokens of all sub-LLMs; None if unknown."""
        return _sum(self.sub_prompt_tokens, self.sub_completion_tokens)


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other
