"""Scaffolds by key: an arm names its scaffold by the key in the registry, which custom scaffolds choose."""

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
