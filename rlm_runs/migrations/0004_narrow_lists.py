"""Indexes for lists and a narrow copy of the rollouts for sums. Renewing a lease changes no index."""

import django.db.models.deletion
from django.db import migrations, models

_NARROW = (
    *("arm", "example_position", "repetition", "status", "stop_reason", "sandbox_backend", "started_at"),
    *("finished_at", "reward", "seconds", "cost", "earlier_cost", "judge_cost", "turns", "cells", "tool_calls"),
    *("batches", "sub_calls", "sub_turns", "main_prompt_tokens", "main_completion_tokens", "sub_prompt_tokens"),
    *("sub_completion_tokens", "cell_errors", "cells_cut", "cells_timed_out", "max_batch", "max_parallel"),
    *("first_answer_turn", "answer_edits"),
)
_SORTED = ("status", "stop_reason", "example_position", "turns", "cells", "sub_calls", "started_at", "finished_at")
_MAIN, _SUB = (
    models.F(f"{whose}_prompt_tokens") + models.F(f"{whose}_completion_tokens") for whose in ("main", "sub")
)
_SUMS = {"main_tokens": _MAIN, "sub_tokens": _SUB, "tokens": _MAIN + _SUB}


class Migration(migrations.Migration):

    dependencies = [("rlm_runs", "0003_text_search")]

    operations = [
        migrations.RemoveIndex(model_name="rollout", name="rollout_running_lease"),
        migrations.AddIndex(
            model_name="rollout",
            index=models.Index(condition=models.Q(status="running"), fields=["id"], name="rollout_running"),
        ),
        # Other indexes start with the arm and with the example.
        migrations.AlterField(
            model_name="rollout",
            name="arm",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="rollouts",
                to="rlm_runs.arm",
            ),
        ),
        migrations.AlterField(
            model_name="rollout",
            name="example",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="rollouts",
                to="rlm_runs.example",
            ),
        ),
        migrations.AddIndex(
            model_name="rollout",
            index=models.Index(fields=["experiment", "id"], include=_NARROW, name="rollout_narrow"),
        ),
        *(
            migrations.AddIndex(
                model_name="rollout", index=models.Index(fields=[column, "id"], name=f"rollout_{column}")
            )
            for column in _SORTED
        ),
        *(
            migrations.AddIndex(
                model_name="rollout", index=models.Index(total, models.F("id"), name=f"rollout_{name}")
            )
            for name, total in _SUMS.items()
        ),
        # Leaves room in each page for the row's next version, which then needs no new index entry.
        migrations.RunSQL(
            "ALTER TABLE rlm_runs_rollout SET (fillfactor = 85)", "ALTER TABLE rlm_runs_rollout RESET (fillfactor)"
        ),
    ]
