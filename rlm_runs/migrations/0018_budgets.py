"""Budgets of experiments: their limits, the spending, and attempts that do not count."""

from typing import ClassVar

import django.db.models.deletion
from django.db import migrations, models

# Spending that predates the ledger, on experiments that were launched here.
_SPENT_SO_FAR = """
INSERT INTO rlm_runs_experimentspending (experiment_id, process, dollars, tokens, unpriced_calls)
SELECT r.experiment_id, '', COALESCE(sum(t.cost), 0),
       COALESCE(sum(COALESCE(t.prompt_tokens, 0) + COALESCE(t.completion_tokens, 0)), 0),
       count(*) FILTER (WHERE t.cost IS NULL)
  FROM rlm_runs_turn t
  JOIN rlm_runs_trajectory j ON j.id = t.trajectory_id
  JOIN rlm_runs_rollout r ON r.id = j.rollout_id
  JOIN rlm_runs_experiment e ON e.id = r.experiment_id
 WHERE e.sources = '[]'
 GROUP BY r.experiment_id
"""


class Migration(migrations.Migration):
    dependencies: ClassVar = [("rlm_runs", "0017_model_calls")]

    operations: ClassVar = [
        migrations.AddField(
            "experiment",
            "paused_by_budget",
            models.BooleanField(
                db_default=False, default=False, help_text="It was paused because it reached its budget."
            ),
        ),
        migrations.AddField(
            "experiment", "budget_dollars", models.DecimalField(decimal_places=10, max_digits=18, null=True)
        ),
        migrations.AddField("experiment", "budget_tokens", models.BigIntegerField(null=True)),
        migrations.AddField(
            "experiment",
            "budget_hours",
            models.FloatField(help_text="Hours in which any of its rollouts runs.", null=True),
        ),
        migrations.AddField(
            "rollout",
            "given_back",
            models.PositiveIntegerField(
                db_default=0, default=0, help_text="Attempts that ended for no reason of the rollout's own."
            ),
        ),
        migrations.CreateModel(
            name="ExperimentSpending",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("process", models.CharField(max_length=220)),
                ("dollars", models.DecimalField(db_default=0, decimal_places=10, default=0, max_digits=18)),
                ("tokens", models.BigIntegerField(db_default=0, default=0)),
                (
                    "unpriced_calls",
                    models.BigIntegerField(db_default=0, default=0, help_text="Calls of unknown cost."),
                ),
                ("assumed_dollars", models.DecimalField(db_default=0, decimal_places=10, default=0, max_digits=18)),
                ("assumed_tokens", models.BigIntegerField(db_default=0, default=0)),
                ("granted_dollars", models.DecimalField(db_default=0, decimal_places=10, default=0, max_digits=18)),
                ("granted_tokens", models.BigIntegerField(db_default=0, default=0)),
                ("expires_at", models.DateTimeField(null=True)),
                (
                    "seconds",
                    models.FloatField(
                        db_default=0, default=0, help_text="Time in which any of its rollouts ran."
                    ),
                ),
                (
                    "seconds_at",
                    models.DateTimeField(help_text="When `seconds` was last added to.", null=True),
                ),
                (
                    "experiment",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="spending",
                        to="rlm_runs.experiment",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("experiment", "process"), name="spending_once"),
                ],
            },
        ),
        migrations.RunSQL(_SPENT_SO_FAR, migrations.RunSQL.noop),
    ]
