"""Calls by model and hour, filled from the stored calls, and probes of models."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


_FILL = """
INSERT INTO rlm_runs_modelhour (model, hour, writer, calls, errors, retries, unpriced, prompt_tokens,
                                completion_tokens, seconds, cost, provider_cost, last_at)
SELECT t.model,
       CASE WHEN u.ended_at < now() - interval '8 days' THEN date_trunc('month', u.ended_at, 'UTC')
            ELSE date_trunc('hour', u.ended_at, 'UTC') END AS begin, '',
       count(*), count(*) FILTER (WHERE u.error <> ''), sum(u.retries), count(*) FILTER (WHERE u.cost IS NULL),
       coalesce(sum(u.prompt_tokens), 0), coalesce(sum(u.completion_tokens), 0),
       coalesce(sum(u.seconds - u.retry_seconds) FILTER (WHERE u.completion_tokens > 0), 0),
       coalesce(sum(u.cost), 0), coalesce(sum(u.provider_cost), 0), max(u.ended_at)
  FROM rlm_runs_turn u
  JOIN rlm_runs_trajectory t ON t.id = u.trajectory_id
  JOIN rlm_runs_rollout r ON r.id = t.rollout_id
  JOIN rlm_runs_experiment e ON e.id = r.experiment_id
 WHERE e.sources = '[]'
 GROUP BY t.model, begin
"""
"""Excludes imported calls, which were made elsewhere."""


class Migration(migrations.Migration):

    dependencies = [
        ('rlm_runs', '0016_streaming'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='ModelHour',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('model', models.CharField(max_length=200)),
                ('hour', models.DateTimeField()),
                ('writer', models.CharField(blank=True, max_length=200)),
                ('calls', models.BigIntegerField(default=0)),
                ('errors', models.BigIntegerField(default=0, help_text='Calls that ended in an error, after all tries.')),
                ('retries', models.BigIntegerField(default=0)),
                ('unpriced', models.BigIntegerField(default=0, help_text='Calls without a cost.')),
                ('prompt_tokens', models.BigIntegerField(default=0)),
                ('completion_tokens', models.BigIntegerField(default=0)),
                ('seconds', models.FloatField(default=0, help_text='Of calls with completion tokens, without failed tries.')),
                ('cost', models.DecimalField(decimal_places=10, default=0, max_digits=24)),
                ('provider_cost', models.DecimalField(decimal_places=10, default=0, max_digits=24)),
                ('last_at', models.DateTimeField(help_text='When the last of them ended.', null=True)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('hour', 'model', 'writer'), name='model_hour_once')],
            },
        ),
        migrations.CreateModel(
            name='ModelProbe',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('model', models.CharField(max_length=200)),
                ('endpoint', models.CharField(max_length=80)),
                ('host', models.CharField(blank=True, max_length=200)),
                ('with_window', models.BooleanField(default=False)),
                ('requested_at', models.DateTimeField(auto_now_add=True)),
                ('started_at', models.DateTimeField(null=True)),
                ('finished_at', models.DateTimeField(null=True)),
                ('findings', models.JSONField(default=list)),
                ('window', models.PositiveIntegerField(null=True)),
                ('error', models.TextField(blank=True, help_text='Why it could not be done; escaped as texts are.')),
                ('requested_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'indexes': [models.Index(fields=['model', '-id'], name='probe_newest_of_model'), models.Index(condition=models.Q(('finished_at', None)), fields=['id'], name='probe_waiting')],
            },
        ),
        migrations.RunSQL(_FILL, migrations.RunSQL.noop),
    ]
