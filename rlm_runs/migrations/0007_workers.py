"""Worker processes with their heartbeats."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('rlm_runs', '0004_narrow_lists'),
    ]

    operations = [
        migrations.CreateModel(
            name='WorkerProcess',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=200, unique=True)),
                ('host', models.CharField(max_length=180)),
                ('pid', models.PositiveIntegerField()),
                ('started_at', models.DateTimeField()),
                ('last_seen_at', models.DateTimeField()),
                ('stopped_at', models.DateTimeField(help_text='Set by an orderly shutdown.', null=True)),
                ('capacity', models.JSONField(default=dict)),
                ('running', models.PositiveIntegerField(default=0, help_text='Rollouts under way at the last heartbeat.')),
                ('versions', models.JSONField(default=dict)),
                ('sandbox_backend', models.CharField(blank=True, max_length=10)),
            ],
            options={
                'ordering': ['host', 'pid'],
            },
        ),
    ]
