"""The table as the queue: messages have no content, and experiments can be paused and prioritised."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('rlm_runs', '0007_workers'),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name='rollout',
            name='rollout_queued_requeue',
        ),
        migrations.RemoveField(
            model_name='rollout',
            name='enqueued',
        ),
        migrations.RemoveField(
            model_name='rollout',
            name='requeue_at',
        ),
        migrations.AddField(
            model_name='experiment',
            name='paused_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='experiment',
            name='priority',
            field=models.SmallIntegerField(db_default=0, default=0, help_text='Workers take rollouts of the highest one first.'),
        ),
        migrations.AddIndex(
            model_name='rollout',
            index=models.Index(condition=models.Q(('status', 'queued')), fields=['experiment', 'repetition', 'example_position', 'id'], name='rollout_queue'),
        ),
    ]
