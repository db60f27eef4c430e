"""The history of rollouts, and the archiving and deletion of experiments."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('rlm_runs', '0011_early_stopping'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Attempt',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveIntegerField()),
                ('status', models.CharField(choices=[('queued', 'Queued'), ('running', 'Running'), ('completed', 'Completed'), ('failed', 'Failed'), ('cancelled', 'Cancelled')], max_length=10)),
                ('stop_reason', models.CharField(blank=True, max_length=40)),
                ('reward', models.FloatField(null=True)),
                ('metrics', models.JSONField(default=dict)),
                ('error', models.TextField(blank=True, help_text='Escaped as texts are.')),
                ('error_boundary', models.CharField(blank=True, max_length=20)),
                ('sandbox_backend', models.CharField(blank=True, max_length=10)),
                ('started_at', models.DateTimeField(null=True)),
                ('finished_at', models.DateTimeField(null=True)),
                ('seconds', models.FloatField(null=True)),
                ('cost', models.DecimalField(decimal_places=10, max_digits=18, null=True)),
                ('sums', models.JSONField(default=dict)),
            ],
            options={
                'ordering': ['number'],
            },
        ),
        migrations.CreateModel(
            name='DroppedText',
            fields=[
                ('digest', models.CharField(max_length=64, primary_key=True, serialize=False)),
            ],
        ),
        migrations.CreateModel(
            name='Rescoring',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('attempt', models.PositiveIntegerField(help_text='Of the rollout, whose answer is scored.')),
                ('judge_model', models.CharField(blank=True, max_length=200)),
                ('status', models.CharField(choices=[('queued', 'Queued'), ('running', 'Running'), ('done', 'Done'), ('failed', 'Failed'), ('cancelled', 'Cancelled')], default='queued', max_length=10)),
                ('tries', models.PositiveIntegerField(default=0)),
                ('worker', models.CharField(blank=True, max_length=200)),
                ('lease_expires_at', models.DateTimeField(null=True)),
                ('finished_at', models.DateTimeField(null=True)),
                ('before', models.JSONField(default=dict)),
                ('after', models.JSONField(default=dict)),
                ('cost', models.DecimalField(decimal_places=10, help_text='Dollars of the judge; NULL without a known price.', max_digits=18, null=True)),
                ('error', models.TextField(blank=True, help_text='Escaped as texts are.')),
            ],
            options={
                'ordering': ['-id'],
            },
        ),
        migrations.AddField(
            model_name='experiment',
            name='archived_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='experiment',
            name='deleted_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='experiment',
            name='revision',
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
        migrations.AddIndex(
            model_name='experiment',
            index=models.Index(condition=models.Q(('archived_at__isnull', False), ('deleted_at__isnull', False), _connector='OR'), fields=['id'], name='experiment_hidden'),
        ),
        migrations.AddField(
            model_name='attempt',
            name='answer',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='rlm_runs.text'),
        ),
        migrations.AddField(
            model_name='attempt',
            name='rollout',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='attempts', to='rlm_runs.rollout'),
        ),
        migrations.AddField(
            model_name='rescoring',
            name='action',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='rescorings', to='rlm_runs.experimentaction'),
        ),
        migrations.AddField(
            model_name='rescoring',
            name='experiment',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='rlm_runs.experiment'),
        ),
        migrations.AddField(
            model_name='rescoring',
            name='rollout',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='rescorings', to='rlm_runs.rollout'),
        ),
        migrations.AddField(
            model_name='trajectory',
            name='rescoring',
            field=models.ForeignKey(db_index=False, help_text='For which a judge was asked; NULL for the scoring of the attempt itself.', null=True, on_delete=django.db.models.deletion.CASCADE, related_name='judges', to='rlm_runs.rescoring'),
        ),
        migrations.AddIndex(
            model_name='trajectory',
            index=models.Index(condition=models.Q(('rescoring__isnull', False)), fields=['rescoring'], name='trajectory_of_rescoring'),
        ),
        migrations.AddConstraint(
            model_name='attempt',
            constraint=models.UniqueConstraint(fields=('rollout', 'number'), name='attempt_once'),
        ),
        migrations.AddIndex(
            model_name='rescoring',
            index=models.Index(condition=models.Q(('status__in', ['queued', 'running'])), fields=['experiment', 'id'], name='rescoring_unfinished'),
        ),
        migrations.AddConstraint(
            model_name='rescoring',
            constraint=models.UniqueConstraint(condition=models.Q(('status__in', ['queued', 'running'])), fields=('rollout',), name='rescoring_one_at_a_time'),
        ),
        # Finds other uses of a system message. The other messages have an index already.
        migrations.RunSQL(
            "CREATE INDEX trajectory_system_texts ON rlm_runs_trajectory USING gin"
            """ ((jsonb_path_query_array(opening, '$[*] ? (@.role == "system").text')))""",
            "DROP INDEX trajectory_system_texts",
        ),
    ]
