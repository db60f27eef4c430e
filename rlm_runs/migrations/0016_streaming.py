"""Streamed answers: the time to their first token, and their tokens per second."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('rlm_runs', '0015_repaired_cells'),
    ]

    operations = [
        migrations.AddField(
            model_name='rollout',
            name='first_token_seconds',
            field=models.FloatField(help_text='From request to first piece, on average.', null=True),
        ),
        migrations.AddField(
            model_name='rollout',
            name='tokens_per_second',
            field=models.FloatField(help_text='Tokens behind the first, over their time.', null=True),
        ),
        migrations.AddField(
            model_name='turn',
            name='first_token_seconds',
            field=models.FloatField(help_text='From the request to the first piece of a streamed answer.', null=True),
        ),
        migrations.AddField(
            model_name='turn',
            name='tokens_per_second',
            field=models.FloatField(help_text='Tokens behind the first of a streamed answer, over their time.', null=True),
        ),
    ]
