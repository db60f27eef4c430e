"""The live state of running rollouts, in an unlogged table, because it is not part of the trace."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('rlm_runs', '0018_budgets'),
    ]

    operations = [
        migrations.CreateModel(
            name='LiveView',
            fields=[
                ('rollout_id', models.BigIntegerField(primary_key=True, serialize=False)),
                ('attempt', models.PositiveIntegerField(help_text='The attempt whose state it is.')),
                ('watched_until', models.DateTimeField(help_text='When it no longer counts as watched.')),
                ('written_at', models.DateTimeField(null=True)),
                ('state', models.JSONField(default=dict)),
            ],
        ),
        migrations.RunSQL('ALTER TABLE rlm_runs_liveview SET UNLOGGED', migrations.RunSQL.noop),
    ]
