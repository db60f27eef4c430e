"""Limits of endpoints that all workers share: their pace, and the share of each process."""

from __future__ import annotations

from typing import ClassVar

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies: ClassVar = [("rlm_runs", "0012_history")]

    operations: ClassVar = [
        migrations.CreateModel(
            name="EndpointState",
            fields=[
                ("name", models.CharField(max_length=300, primary_key=True, serialize=False)),
                ("next_request_at", models.FloatField(db_default=0, default=0)),
                ("next_token_at", models.FloatField(db_default=0, default=0)),
                ("tokens", models.JSONField(default=list)),
                ("blocked_until", models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="EndpointLease",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("process", models.CharField(max_length=200)),
                ("places", models.PositiveIntegerField(default=0)),
                ("wanted", models.PositiveIntegerField(default=0)),
                ("waiting", models.PositiveIntegerField(default=0)),
                ("waiting_tokens", models.PositiveBigIntegerField(default=0)),
                ("expires_at", models.DateTimeField()),
                (
                    "state",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="leases",
                        to="rlm_runs.endpointstate",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("state", "process"), name="endpoint_lease_once"),
                ],
            },
        ),
    ]
