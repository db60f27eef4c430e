"""Circuits of models, shared by all workers."""

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies: ClassVar = [("rlm_runs", "0020_resume")]

    operations: ClassVar = [
        migrations.CreateModel(
            name="Circuit",
            fields=[
                ("model", models.CharField(max_length=300, primary_key=True, serialize=False)),
                ("failures", models.PositiveIntegerField(default=0, help_text="Failures in a row.")),
                ("failing_since", models.DateTimeField(null=True)),
                ("last_good_at", models.DateTimeField(null=True)),
                ("outcomes", models.JSONField(default=list)),
                ("error", models.TextField(blank=True, help_text="Escaped as texts are.")),
                ("opened_at", models.DateTimeField(null=True)),
                ("probes", models.PositiveIntegerField(default=0, help_text="Failed tries since it opened.")),
                ("probe_at", models.DateTimeField(null=True)),
                ("probing_until", models.DateTimeField(null=True)),
                ("claimed_until", models.DateTimeField(null=True)),
            ],
        ),
    ]
