"""Early stopping: arms that ended before their last rollout, and the last look at each experiment."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('rlm_runs', '0010_experiment_log'),
    ]

    operations = [
        migrations.CreateModel(
            name='StoppingLook',
            fields=[
                ('experiment', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='stopping_look', serialize=False, to='rlm_runs.experiment')),
                ('looked_at', models.DateTimeField()),
                ('next_at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='ArmDecision',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('reason', models.CharField(choices=[('ahead', 'Ahead'), ('behind', 'Behind'), ('equivalent', 'Equivalent'), ('pruned', 'Pruned'), ('unneeded', 'Unneeded')], max_length=10)),
                ('examples', models.PositiveIntegerField(default=0)),
                ('estimate', models.FloatField(null=True)),
                ('low', models.FloatField(null=True)),
                ('high', models.FloatField(null=True)),
                ('e_value', models.FloatField(null=True)),
                ('alpha', models.FloatField(null=True)),
                ('level', models.FloatField(null=True)),
                ('needed', models.FloatField(null=True)),
                ('rung', models.PositiveIntegerField(default=0)),
                ('rollouts', models.PositiveIntegerField(help_text='Queued rollouts that were cancelled.')),
                ('reopened_at', models.DateTimeField(null=True)),
                ('arm', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='decision', to='rlm_runs.arm')),
                ('baseline', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='rlm_runs.arm')),
            ],
            options={
                'ordering': ['id'],
            },
        ),
    ]
