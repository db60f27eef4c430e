"""Costs reported by providers, cache writes, and the history of repriced costs."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('rlm_runs', '0013_endpoint_limits'),
    ]

    operations = [
        migrations.CreateModel(
            name='RepricedTurn',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('old_cost', models.DecimalField(decimal_places=10, max_digits=18, null=True)),
                ('old_version', models.CharField(blank=True, max_length=40)),
                ('new_cost', models.DecimalField(decimal_places=10, max_digits=18, null=True)),
                ('new_version', models.CharField(blank=True, max_length=40)),
            ],
        ),
        migrations.CreateModel(
            name='Repricing',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField(auto_now_add=True)),
                ('by', models.CharField(blank=True, max_length=200)),
                ('scope', models.CharField(blank=True, max_length=400)),
                ('finished_at', models.DateTimeField(help_text='NULL while it runs, or if it was cut off.', null=True)),
            ],
        ),
        migrations.AddField(
            model_name='rollout',
            name='provider_cost',
            field=models.DecimalField(decimal_places=10, help_text='Dollars, as the provider reports them; NULL where it does not for a call.', max_digits=18, null=True),
        ),
        migrations.AddField(
            model_name='turn',
            name='cache_write_tokens',
            field=models.PositiveIntegerField(help_text='Part of the prompt tokens.', null=True),
        ),
        migrations.AddField(
            model_name='turn',
            name='provider_cost',
            field=models.DecimalField(decimal_places=10, help_text='Dollars, as the provider reports them.', max_digits=18, null=True),
        ),
        migrations.AddIndex(
            model_name='rollout',
            index=models.Index(condition=models.Q(('provider_cost__isnull', False)), fields=['experiment'], include=('cost', 'provider_cost'), name='rollout_provider_cost'),
        ),
        migrations.AddField(
            model_name='repricedturn',
            name='turn',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='repricings', to='rlm_runs.turn'),
        ),
        migrations.AddField(
            model_name='repricedturn',
            name='repricing',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='turns', to='rlm_runs.repricing'),
        ),
    ]
