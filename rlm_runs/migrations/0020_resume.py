"""Resuming interrupted rollouts: the tool calls of a turn, and the log of a rollout."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('rlm_runs', '0019_live_views'),
    ]

    operations = [
        migrations.AddField(
            model_name='rollout',
            name='claims',
            field=models.PositiveIntegerField(db_default=0, default=0, help_text='Times that a worker has taken it.'),
        ),
        migrations.AddField(
            model_name='rollout',
            name='cut_off',
            field=models.BooleanField(db_default=False, default=False, help_text='The attempt was cut off after a turn; the next worker goes on.'),
        ),
        migrations.AddField(
            model_name='turn',
            name='tool_calls',
            field=models.JSONField(help_text='The calls that the model made, as {"id", "name", "arguments": digest}.', null=True),
        ),
        migrations.CreateModel(
            name='RolloutNote',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('attempt', models.PositiveIntegerField()),
                ('kind', models.CharField(choices=[('resumed', 'resumed'), ('restarted', 'restarted'), ('differs', 'differs')], max_length=10)),
                ('at', models.DateTimeField()),
                ('worker', models.CharField(blank=True, max_length=200)),
                ('turn', models.PositiveIntegerField(null=True)),
                ('seconds', models.FloatField(null=True)),
                ('reason', models.TextField(blank=True, help_text='Escaped as texts are.')),
                ('rollout', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='notes', to='rlm_runs.rollout')),
            ],
            options={
                'ordering': ['pk'],
            },
        ),
    ]
