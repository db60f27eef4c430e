"""Scaffolds are a registry: an arm names one by its key, which a custom scaffold chooses."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('rlm_runs', '0008_execution_queue'),
    ]

    operations = [
        migrations.AlterField(
            model_name='arm',
            name='scaffold',
            field=models.CharField(max_length=40),
        ),
    ]
