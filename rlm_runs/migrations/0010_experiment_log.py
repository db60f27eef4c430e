"""The log of an experiment's actions."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('rlm_runs', '0009_scaffold_keys'),
    ]

    operations = [
        migrations.CreateModel(
            name='ExperimentAction',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('actor', models.CharField(max_length=150)),
                ('action', models.CharField(max_length=40)),
                ('details', models.JSONField(default=dict)),
                ('experiment', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='actions', to='rlm_runs.experiment')),
            ],
            options={
                'ordering': ['-id'],
                'indexes': [models.Index(fields=['experiment', '-id'], name='action_newest')],
            },
        ),
    ]
