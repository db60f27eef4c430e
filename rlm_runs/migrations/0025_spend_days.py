"""Spend by day, experiment and model, filled from the stored calls."""

import django.db.models.deletion
from django.db import migrations, models


_FILL = """
INSERT INTO rlm_runs_spendday (day, experiment_id, model, writer, calls, unpriced, cost)
SELECT (u.ended_at AT TIME ZONE 'UTC')::date, r.experiment_id, t.model, '',
       count(*), count(*) FILTER (WHERE u.cost IS NULL), coalesce(sum(u.cost), 0)
  FROM rlm_runs_turn u
  JOIN rlm_runs_trajectory t ON t.id = u.trajectory_id
  JOIN rlm_runs_rollout r ON r.id = t.rollout_id
  JOIN rlm_runs_experiment e ON e.id = r.experiment_id
 WHERE e.sources = '[]'
 GROUP BY 1, 2, 3
"""
"""Excludes imported calls, which were made elsewhere."""


class Migration(migrations.Migration):

    dependencies = [
        ('rlm_runs', '0024_reviews'),
    ]

    operations = [
        migrations.CreateModel(
            name='SpendDay',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('day', models.DateField()),
                ('model', models.CharField(max_length=200)),
                ('writer', models.CharField(blank=True, max_length=200)),
                ('calls', models.BigIntegerField(default=0)),
                ('unpriced', models.BigIntegerField(default=0, help_text='Calls without a cost.')),
                ('cost', models.DecimalField(decimal_places=10, default=0, max_digits=24)),
                ('experiment', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='rlm_runs.experiment')),
            ],
            options={
                'indexes': [models.Index(fields=['experiment'], include=['cost', 'unpriced'], name='spend_day_experiment')],
                'constraints': [models.UniqueConstraint(fields=('day', 'experiment', 'model', 'writer'), name='spend_day_once')],
            },
        ),
        migrations.RunSQL(_FILL, migrations.RunSQL.noop),
    ]
